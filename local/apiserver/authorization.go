package apiserver

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/authorization/path"
	"k8s.io/apiserver/pkg/authorization/union"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac"
)

// rolesTimeout bounds how long a request waits for the roles to be known after a start; chosen.
const rolesTimeout = 5 * time.Second

// newAuthorizer lets system:masters do everything and asks RBAC about everybody else. Health is open to all:
// the role that says so does not exist in the first moments of a cluster.
func newAuthorizer(factory informers.SharedInformerFactory) (authorizer.Authorizer, authorizer.RuleResolver, error) {
	health, err := path.NewAuthorizer(healthPaths())
	if err != nil {
		return nil, nil, fmt.Errorf("make authorizer: %w", err)
	}
	r := factory.Rbac().V1()
	roles := rbac.New(
		&rbac.RoleGetter{Lister: r.Roles().Lister()},
		&rbac.RoleBindingLister{Lister: r.RoleBindings().Lister()},
		&rbac.ClusterRoleGetter{Lister: r.ClusterRoles().Lister()},
		&rbac.ClusterRoleBindingLister{Lister: r.ClusterRoleBindings().Lister()},
	)
	synced := []cache.InformerSynced{
		r.Roles().Informer().HasSynced, r.RoleBindings().Informer().HasSynced,
		r.ClusterRoles().Informer().HasSynced, r.ClusterRoleBindings().Informer().HasSynced,
	}
	masters := authorizerfactory.NewPrivilegedGroups(user.SystemPrivilegedGroup)
	return union.New(masters, health, &patientAuthorizer{Authorizer: roles, synced: synced}), roles, nil
}

// healthPaths need no credentials.
func healthPaths() []string { return []string{"/healthz", "/livez", "/readyz"} }

// patientAuthorizer holds requests back until the roles have been read. Without it a pod that outlived
// the daemon would be refused what it may do for the first moments after a restart.
type patientAuthorizer struct {
	authorizer.Authorizer
	synced []cache.InformerSynced
}

func (a *patientAuthorizer) Authorize(ctx context.Context, attrs authorizer.Attributes) (authorizer.Decision, string, error) {
	if !a.ready() {
		ctx, cancel := context.WithTimeout(ctx, rolesTimeout)
		defer cancel()
		cache.WaitForCacheSync(ctx.Done(), a.synced...)
	}
	return a.Authorizer.Authorize(ctx, attrs)
}

func (a *patientAuthorizer) ready() bool {
	return !slices.ContainsFunc(a.synced, func(synced cache.InformerSynced) bool { return !synced() })
}
