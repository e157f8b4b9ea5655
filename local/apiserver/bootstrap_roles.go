package apiserver

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"
)

// rolesAtOnce is how many roles are written at the same time; one flush of the disk carries them. Chosen.
const rolesAtOnce = 16

// roles creates those default roles and bindings that are missing. Existing ones keep what an
// administrator changed in them.
func (b bootstrap) roles(ctx context.Context) error {
	known, err := b.knownRoles(ctx)
	if err != nil {
		return err
	}
	c := b.client.RbacV1()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(rolesAtOnce)
	create := func(kind, namespace, name string, f func() error) {
		if !known.Has(roleKey(kind, namespace, name)) {
			g.Go(func() error { return created(kind+" "+name, f()) })
		}
	}
	for _, role := range append(bootstrappolicy.ClusterRoles(), bootstrappolicy.ControllerRoles()...) {
		create("cluster role", "", role.Name, func() error {
			_, err := c.ClusterRoles().Create(ctx, &role, metav1.CreateOptions{})
			return err
		})
	}
	for _, binding := range append(bootstrappolicy.ClusterRoleBindings(), bootstrappolicy.ControllerRoleBindings()...) {
		create("cluster role binding", "", binding.Name, func() error {
			_, err := c.ClusterRoleBindings().Create(ctx, &binding, metav1.CreateOptions{})
			return err
		})
	}
	for namespace, roles := range bootstrappolicy.NamespaceRoles() {
		for _, role := range roles {
			create("role", namespace, role.Name, func() error {
				_, err := c.Roles(namespace).Create(ctx, &role, metav1.CreateOptions{})
				return err
			})
		}
	}
	for namespace, bindings := range bootstrappolicy.NamespaceRoleBindings() {
		for _, binding := range bindings {
			create("role binding", namespace, binding.Name, func() error {
				_, err := c.RoleBindings(namespace).Create(ctx, &binding, metav1.CreateOptions{})
				return err
			})
		}
	}
	return g.Wait()
}

func roleKey(kind, namespace, name string) string { return kind + "/" + namespace + "/" + name }

func (b bootstrap) knownRoles(ctx context.Context) (sets.Set[string], error) {
	known, c, all := sets.New[string](), b.client.RbacV1(), metav1.ListOptions{}
	clusterRoles, err := c.ClusterRoles().List(ctx, all)
	if err != nil {
		return nil, fmt.Errorf("list cluster roles: %w", err)
	}
	for _, r := range clusterRoles.Items {
		known.Insert(roleKey("cluster role", "", r.Name))
	}
	clusterBindings, err := c.ClusterRoleBindings().List(ctx, all)
	if err != nil {
		return nil, fmt.Errorf("list cluster role bindings: %w", err)
	}
	for _, r := range clusterBindings.Items {
		known.Insert(roleKey("cluster role binding", "", r.Name))
	}
	roles, err := c.Roles(metav1.NamespaceAll).List(ctx, all)
	if err != nil {
		return nil, fmt.Errorf("list roles: %w", err)
	}
	for _, r := range roles.Items {
		known.Insert(roleKey("role", r.Namespace, r.Name))
	}
	bindings, err := c.RoleBindings(metav1.NamespaceAll).List(ctx, all)
	if err != nil {
		return nil, fmt.Errorf("list role bindings: %w", err)
	}
	for _, r := range bindings.Items {
		known.Insert(roleKey("role binding", r.Namespace, r.Name))
	}
	return known, nil
}
