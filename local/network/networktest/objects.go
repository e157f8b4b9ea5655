package networktest

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Service creates or updates a Service, with its namespace.
func (c *Cluster) Service(s *corev1.Service) {
	c.T.Helper()
	ctx := context.Background()
	c.Namespace(s.Namespace)
	s.UID = types.UID("svc-" + s.Namespace + "-" + s.Name)
	_, err := c.Client.CoreV1().Services(s.Namespace).Create(ctx, s, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = c.Client.CoreV1().Services(s.Namespace).Update(ctx, s, metav1.UpdateOptions{})
	}
	if err != nil {
		c.T.Fatal(err)
	}
}

// Place puts a pod's object on a node.
func (c *Cluster) Place(p *Pod, node string) {
	c.T.Helper()
	p.Object.Spec.NodeName = node
	if _, err := c.Client.CoreV1().Pods(p.Object.Namespace).Update(context.Background(), p.Object, metav1.UpdateOptions{}); err != nil {
		c.T.Fatal(err)
	}
}

// Namespace makes a namespace exist.
func (c *Cluster) Namespace(name string) {
	c.T.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelMetadataName: name}}}
	_, err := c.Client.CoreV1().Namespaces().Create(context.Background(), ns, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		c.T.Fatal(err)
	}
}

// A Port is a port of an EndpointSlice.
type Port struct {
	Name     string
	Port     int32
	Protocol corev1.Protocol
}

// An Endpoint is one address of an EndpointSlice, ready unless it says otherwise.
type Endpoint struct {
	IP, Hostname, UID     string
	Node                  string
	NotReady, Terminating bool
}

// Slice creates or updates the Service's EndpointSlice.
func (c *Cluster) Slice(namespace, service string, ports []Port, endpoints ...Endpoint) {
	c.T.Helper()
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: namespace, Name: service, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	for _, p := range ports {
		slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{Name: &p.Name, Port: &p.Port, Protocol: &p.Protocol})
	}
	for _, e := range endpoints {
		isReady, serving, terminating := !e.NotReady && !e.Terminating, !e.NotReady, e.Terminating
		out := discoveryv1.Endpoint{
			Addresses:  []string{e.IP},
			Conditions: discoveryv1.EndpointConditions{Ready: &isReady, Serving: &serving, Terminating: &terminating},
		}
		if e.Hostname != "" {
			out.Hostname = &e.Hostname
		}
		if e.Node != "" {
			out.NodeName = &e.Node
		}
		if e.UID != "" {
			out.TargetRef = &corev1.ObjectReference{Kind: "Pod", UID: types.UID(e.UID)}
		}
		slice.Endpoints = append(slice.Endpoints, out)
	}
	ctx := context.Background()
	slices := c.Client.DiscoveryV1().EndpointSlices(namespace)
	_, err := slices.Create(ctx, slice, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = slices.Update(ctx, slice, metav1.UpdateOptions{})
	}
	if err != nil {
		c.T.Fatal(err)
	}
}

// Patience bounds what should happen at once; chosen generous, because machines that run tests are slow and shared, and what
// never happens fails all the same.
const Patience = 30 * time.Second

// Eventually waits until check returns the empty string, and fails with what it returned last.
func Eventually(t testing.TB, within time.Duration, check func() string) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		last := check()
		if last == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v still: %s", within, last)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
