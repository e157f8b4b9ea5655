package apiserver

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/kubernetes/pkg/registry/core/service/ipallocator"
	"k8s.io/kubernetes/pkg/registry/core/service/portallocator"
)

// allocators hand out ClusterIPs and node ports. They live in memory, because the Services themselves say
// what is taken; refill reads that back after a start.
type allocators struct {
	ips   *ipallocator.Range
	ports *portallocator.PortAllocator
}

func newAllocators(subnet netip.Prefix, ports utilnet.PortRange) (*allocators, error) {
	_, cidr, err := net.ParseCIDR(subnet.String())
	if err != nil {
		return nil, fmt.Errorf("parse service subnet: %w", err)
	}
	ips, err := ipallocator.NewInMemory(cidr)
	if err != nil {
		return nil, fmt.Errorf("make allocator of service addresses: %w", err)
	}
	p, err := portallocator.NewInMemory(ports)
	if err != nil {
		return nil, fmt.Errorf("make allocator of node ports: %w", err)
	}
	return &allocators{ips, p}, nil
}

// refill marks what the stored Services use. It has to be done before the first Service is created. What lies
// outside of today's ranges, or is used twice, is returned as problems: the Services work as far as they can.
func (a *allocators) refill(ctx context.Context, client kubernetes.Interface) (problems []error, err error) {
	list, err := client.CoreV1().Services(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	for i := range list.Items {
		for _, err := range a.take(&list.Items[i]) {
			problems = append(problems, fmt.Errorf("service %s/%s: %w", list.Items[i].Namespace, list.Items[i].Name, err))
		}
	}
	return problems, nil
}

func (a *allocators) take(s *corev1.Service) (errs []error) {
	for _, addr := range s.Spec.ClusterIPs {
		if addr == corev1.ClusterIPNone {
			continue
		}
		ip := net.ParseIP(addr)
		if ip == nil {
			continue
		}
		if err := a.ips.Allocate(ip); err != nil {
			errs = append(errs, fmt.Errorf("reserve address %s: %w", addr, err))
		}
	}
	// TCP and UDP of one Service may share a node port.
	taken := map[int32]bool{0: true}
	ports := []int32{s.Spec.HealthCheckNodePort}
	for _, p := range s.Spec.Ports {
		ports = append(ports, p.NodePort)
	}
	for _, port := range ports {
		if taken[port] {
			continue
		}
		taken[port] = true
		if err := a.ports.Allocate(int(port)); err != nil {
			errs = append(errs, fmt.Errorf("reserve node port %d: %w", port, err))
		}
	}
	return errs
}
