package apiserver

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// dnsPort is the port of the cluster's DNS, behind the Service as well as in front of it.
const dnsPort = 53

// services creates the Services whose addresses pods are told before they start.
func (b bootstrap) services(ctx context.Context) error {
	tcp := corev1.ProtocolTCP
	kubernetes := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "kubernetes", Namespace: metav1.NamespaceDefault, Labels: map[string]string{"component": "apiserver", "provider": "kubernetes"}},
		Spec: corev1.ServiceSpec{
			ClusterIP: b.cfg.serviceIP().String(),
			Ports:     []corev1.ServicePort{{Name: "https", Port: 443, Protocol: tcp, TargetPort: intstr.FromInt32(b.targetPort())}},
		},
	}
	services := []*corev1.Service{kubernetes}
	if b.cfg.ClusterDNS.IsValid() {
		services = append(services, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{
				Name: "kube-dns", Namespace: metav1.NamespaceSystem,
				Labels: map[string]string{"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"},
			},
			Spec: corev1.ServiceSpec{
				ClusterIP: b.cfg.ClusterDNS.String(),
				Ports: []corev1.ServicePort{
					{Name: "dns", Port: dnsPort, Protocol: corev1.ProtocolUDP, TargetPort: intstr.FromInt32(dnsPort)},
					{Name: "dns-tcp", Port: dnsPort, Protocol: tcp, TargetPort: intstr.FromInt32(dnsPort)},
				},
			},
		})
	}
	for _, s := range services {
		if err := b.service(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// service makes want exist. Its address can't be changed in place: another one (the subnet has moved) means a new Service.
func (b bootstrap) service(ctx context.Context, want *corev1.Service) error {
	c := b.client.CoreV1().Services(want.Namespace)
	have, err := c.Get(ctx, want.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return fmt.Errorf("get service %s/%s: %w", want.Namespace, want.Name, err)
	case have.Spec.ClusterIP != want.Spec.ClusterIP:
		if err := c.Delete(ctx, want.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete service %s/%s: %w", want.Namespace, want.Name, err)
		}
	case len(have.Spec.Ports) == len(want.Spec.Ports) && have.Spec.Ports[0].TargetPort == want.Spec.Ports[0].TargetPort:
		return nil
	default:
		have.Spec.Ports = want.Spec.Ports
		if _, err := c.Update(ctx, have, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("update service %s/%s: %w", want.Namespace, want.Name, err)
		}
		return nil
	}
	_, err = c.Create(ctx, want, metav1.CreateOptions{})
	return created("service "+want.Namespace+"/"+want.Name, err)
}

func (b bootstrap) targetPort() int32 {
	if p := b.cfg.Reachable.Port(); p != 0 {
		return int32(p)
	}
	return 443
}

// endpoints publishes where the two Services lead: nobody else does, as their pods don't exist.
func (b bootstrap) endpoints(ctx context.Context, reachable netip.AddrPort) error {
	tcp, udp := corev1.ProtocolTCP, corev1.ProtocolUDP
	err := b.endpoint(ctx, metav1.NamespaceDefault, "kubernetes", reachable.Addr(), []discoveryv1.EndpointPort{
		{Name: ptr.To("https"), Port: ptr.To(int32(reachable.Port())), Protocol: &tcp},
	})
	if err != nil || !b.cfg.ClusterDNS.IsValid() {
		return err
	}
	return b.endpoint(ctx, metav1.NamespaceSystem, "kube-dns", reachable.Addr(), []discoveryv1.EndpointPort{
		{Name: ptr.To("dns"), Port: ptr.To[int32](dnsPort), Protocol: &udp},
		{Name: ptr.To("dns-tcp"), Port: ptr.To[int32](dnsPort), Protocol: &tcp},
	})
}

// endpoint writes the Endpoints of one Service and the EndpointSlice that mirrors them. The label keeps the
// mirroring controller from making another.
func (b bootstrap) endpoint(ctx context.Context, namespace, name string, addr netip.Addr, ports []discoveryv1.EndpointPort) error {
	old := &corev1.Endpoints{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: map[string]string{discoveryv1.LabelSkipMirror: "true"}},
		Subsets:    []corev1.EndpointSubset{{Addresses: []corev1.EndpointAddress{{IP: addr.String()}}}},
	}
	for _, p := range ports {
		old.Subsets[0].Ports = append(old.Subsets[0].Ports, corev1.EndpointPort{Name: *p.Name, Port: *p.Port, Protocol: *p.Protocol})
	}
	endpoints := b.client.CoreV1().Endpoints(namespace)
	switch have, err := endpoints.Get(ctx, name, metav1.GetOptions{}); {
	case apierrors.IsNotFound(err):
		if _, err := endpoints.Create(ctx, old, metav1.CreateOptions{}); created("", err) != nil {
			return fmt.Errorf("create endpoints %s/%s: %w", namespace, name, err)
		}
	case err != nil:
		return fmt.Errorf("get endpoints %s/%s: %w", namespace, name, err)
	case !reflect.DeepEqual(have.Subsets, old.Subsets):
		have.Labels, have.Subsets = old.Labels, old.Subsets
		if _, err := endpoints.Update(ctx, have, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("update endpoints %s/%s: %w", namespace, name, err)
		}
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{addr.String()}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}}},
		Ports:       ports,
	}
	if addr.Is6() {
		slice.AddressType = discoveryv1.AddressTypeIPv6
	}
	slices := b.client.DiscoveryV1().EndpointSlices(namespace)
	switch have, err := slices.Get(ctx, name, metav1.GetOptions{}); {
	case apierrors.IsNotFound(err):
		if _, err := slices.Create(ctx, slice, metav1.CreateOptions{}); created("", err) != nil {
			return fmt.Errorf("create endpoint slice %s/%s: %w", namespace, name, err)
		}
	case err != nil:
		return fmt.Errorf("get endpoint slice %s/%s: %w", namespace, name, err)
	case !reflect.DeepEqual(have.Endpoints, slice.Endpoints) || !reflect.DeepEqual(have.Ports, slice.Ports):
		have.Endpoints, have.Ports = slice.Endpoints, slice.Ports
		if _, err := slices.Update(ctx, have, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("update endpoint slice %s/%s: %w", namespace, name, err)
		}
	}
	return nil
}
