package apiserver

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	schedulingv1 "k8s.io/kubernetes/pkg/apis/scheduling/v1"
)

// systemNamespaces exist in every cluster.
func systemNamespaces() []string {
	return []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease}
}

// bootstrap creates the objects that every cluster starts with. All of it is idempotent, and all of one
// step is written at once, so that one flush of the disk carries it.
type bootstrap struct {
	client kubernetes.Interface
	cfg    Config
}

// created forgives that an object exists.
func created(what string, err error) error {
	if err == nil || apierrors.IsAlreadyExists(err) {
		return nil
	}
	return fmt.Errorf("create %s: %w", what, err)
}

// first creates what users notice in their first request: the namespaces with a ServiceAccount each, for which
// the admission of pods would otherwise wait in steps of 100 ms, and the Services with reserved addresses.
func (b bootstrap) first(ctx context.Context) error {
	known, err := b.client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list namespaces: %w", err)
	}
	missing := map[string]bool{}
	for _, n := range systemNamespaces() {
		missing[n] = true
	}
	for _, n := range known.Items {
		delete(missing, n.Name)
	}
	g, writing := errgroup.WithContext(ctx)
	for n := range missing {
		g.Go(func() error {
			_, err := b.client.CoreV1().Namespaces().Create(writing, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n}}, metav1.CreateOptions{})
			if err := created("namespace "+n, err); err != nil {
				return err
			}
			_, err = b.client.CoreV1().ServiceAccounts(n).Create(writing, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
			return created("service account "+n+"/default", err)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return b.services(ctx)
}

// later creates what nobody waits for.
func (b bootstrap) later(ctx context.Context) error {
	return errors.Join(b.serviceCIDR(ctx), b.priorityClasses(ctx), b.roles(ctx), b.clientTrust(ctx))
}

func (b bootstrap) serviceCIDR(ctx context.Context) error {
	_, err := b.client.NetworkingV1().ServiceCIDRs().Create(ctx, &networkingv1.ServiceCIDR{
		ObjectMeta: metav1.ObjectMeta{Name: "kubernetes"},
		Spec:       networkingv1.ServiceCIDRSpec{CIDRs: []string{b.cfg.ServiceSubnet.String()}},
	}, metav1.CreateOptions{})
	return created("service CIDR kubernetes", err)
}

func (b bootstrap) priorityClasses(ctx context.Context) error {
	for _, class := range schedulingv1.SystemPriorityClasses() {
		_, err := b.client.SchedulingV1().PriorityClasses().Create(ctx, class, metav1.CreateOptions{})
		if err := created("priority class "+class.Name, err); err != nil {
			return err
		}
	}
	return nil
}
