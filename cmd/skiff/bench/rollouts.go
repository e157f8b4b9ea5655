package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"skiff.local/skiff/local/network/networktest/load"
)

const (
	rolloutCount = 20
	// rolloutClients is the number of clients on kept connections and as many on a connection per request, for each of
	// the three ways in; rolloutPause is what each rests, so that the load leaves the rollouts some of the machine.
	rolloutClients = 50
	rolloutPause   = 50 * time.Millisecond
	// wantedRequests is how many must have been made for the figure to mean something.
	wantedRequests = 100_000
)

// rollouts counts the requests that fail while a Deployment is rolled out again and again, through its node port, its
// Ingress and, from a pod, its cluster address.
func (b *bench) rollouts(ctx context.Context) error {
	ref, err := b.withProbe(ctx)
	if err != nil {
		return err
	}
	svc, err := b.deployRolled(ctx)
	defer b.removeRolled(ctx)
	if err != nil {
		return err
	}
	ingressPort, remove, err := b.route(ctx, svc.Name, "http")
	defer remove()
	if err != nil {
		return err
	}
	client, err := b.probePod(ctx, "visitor", "visitor", ref)
	defer b.removeServers(ctx, "visitor")
	if err != nil {
		return err
	}

	loading, stop := context.WithCancel(ctx)
	defer stop()
	results := map[string]load.Summary{}
	var mu sync.Mutex
	var loads sync.WaitGroup
	record := func(name string, s load.Summary) {
		mu.Lock()
		defer mu.Unlock()
		sum := results[name]
		if sum.Errors == nil {
			sum.Errors = map[string]int{}
		}
		sum.Requests, sum.Failed, sum.P99 = sum.Requests+s.Requests, sum.Failed+s.Failed, max(sum.P99, s.P99)
		for text, n := range s.Errors {
			sum.Errors[text] += n
		}
		sum.Failures = append(sum.Failures, s.Failures...)
		results[name] = sum
	}
	for name, o := range map[string]load.Options{
		"NodePort": {URL: fmt.Sprintf("http://127.0.0.1:%d/", portOf(svc, "http", true))},
		"Ingress":  {URL: fmt.Sprintf("http://127.0.0.1:%d/", ingressPort), Host: ingressHost},
	} {
		o.Kept, o.Short, o.Pause = rolloutClients, rolloutClients, rolloutPause
		loads.Go(func() { record(name, load.Run(loading, o).Summary()) })
	}
	var inPodErr error
	loads.Go(func() {
		url := fmt.Sprintf("http://%s:%d/", svc.Spec.ClusterIP, portOf(svc, "http", false))
		for loading.Err() == nil {
			n := fmt.Sprint(rolloutClients)
			s, err := b.loadInPod(ctx, client, "load", url, n, n, "5s", rolloutPause.String())
			if err != nil {
				inPodErr = err
				return
			}
			record("ClusterIP", s)
		}
	})
	begin := time.Now()
	for i := range rolloutCount {
		if err := b.rollOut(ctx, svc.Name, i); err != nil {
			return err
		}
	}
	took := time.Since(begin)
	// The requests that are missing are made on a Deployment at rest; the note says how many there were by now.
	stop()
	loads.Wait()
	if inPodErr != nil {
		return inPodErr
	}
	total, failed := 0, 0
	for _, name := range []string{"NodePort", "Ingress", "ClusterIP"} {
		s := results[name]
		total, failed = total+s.Requests, failed+s.Failed
		note := fmt.Sprintf("of %d requests", s.Requests)
		if s.Failed > 0 {
			note += ": " + strings.Join(s.Failures, "; ")
		}
		b.report.add(fmt.Sprintf("%d rolling updates, failed through %s", rolloutCount, name), fmt.Sprint(s.Failed), note)
	}
	b.report.add(fmt.Sprintf("%d rolling updates, failed in all", rolloutCount), fmt.Sprint(failed),
		fmt.Sprintf("of %d requests in %s; aim 0 of ≥ %d", total, took.Round(time.Second), wantedRequests))
	return nil
}

const rolled = "rolled"

func (b *bench) deployRolled(ctx context.Context) (*corev1.Service, error) {
	labels := map[string]string{"app": rolled}
	spec := podSpec()
	spec.Containers[0].Args = nil // it drains
	spec.TerminationGracePeriodSeconds = nil
	spec.Containers[0].ReadinessProbe = &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(8080)}},
		PeriodSeconds: 1,
	}
	_, err := b.client.AppsV1().Deployments(namespace).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: rolled},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(int32(3)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Strategy: appsv1.DeploymentStrategy{RollingUpdate: &appsv1.RollingUpdateDeployment{
				MaxUnavailable: ptr.To(intstr.FromInt32(0)), MaxSurge: ptr.To(intstr.FromInt32(1)),
			}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	svc, err := b.client.CoreV1().Services(namespace).Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: rolled},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeNodePort, Selector: labels,
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	if err := b.rolledOut(ctx, rolled); err != nil {
		return nil, err
	}
	return svc, awaitOK(ctx, fmt.Sprintf("http://127.0.0.1:%d/", portOf(svc, "http", true)), "")
}

func (b *bench) removeRolled(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	_ = b.client.CoreV1().Services(namespace).Delete(ctx, rolled, metav1.DeleteOptions{})
	_ = b.remove(ctx, rolled)
}

// rollOut replaces every pod of a Deployment and returns when that is done.
func (b *bench) rollOut(ctx context.Context, name string, revision int) error {
	patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"revision":"%d"}}}}}`, revision)
	_, err := b.client.AppsV1().Deployments(namespace).Patch(ctx, name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		return err
	}
	return b.rolledOut(ctx, name)
}

func (b *bench) rolledOut(ctx context.Context, name string) error {
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); {
		d, err := b.client.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		st, want := d.Status, *d.Spec.Replicas
		if st.ObservedGeneration >= d.Generation && st.UpdatedReplicas == want && st.Replicas == want && st.AvailableReplicas == want {
			return nil
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("deployment %s is not rolled out after three minutes", name)
}

const (
	manyServices  = 500
	manyEndpoints = 10
)

// services measures how long many Services take to be in force, and whether a lookup among them is slower.
func (b *bench) services(ctx context.Context) error {
	svc, _, err := b.servers(ctx, "needle", 1)
	defer b.removeServers(ctx, "needle")
	if err != nil {
		return err
	}
	client, err := b.probePod(ctx, "seeker", "seeker", b.probe)
	defer b.removeServers(ctx, "seeker")
	if err != nil {
		return err
	}
	connects := func() (float64, error) {
		return b.numberInPod(ctx, client, "connects", fmt.Sprintf("%s:%d", svc.Spec.ClusterIP, probePorts["echo"]), "500")
	}
	few, err := connects()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := b.makeServices(ctx); err != nil {
		return err
	}
	defer func() {
		background := context.WithoutCancel(ctx)
		list, err := b.client.CoreV1().Services(namespace).List(background, metav1.ListOptions{LabelSelector: "many=true"})
		for i := 0; err == nil && i < len(list.Items); i++ {
			_ = b.client.CoreV1().Services(namespace).Delete(background, list.Items[i].Name, metav1.DeleteOptions{})
		}
		_ = b.client.DiscoveryV1().EndpointSlices(namespace).DeleteCollection(background, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "many=true"})
	}()
	made := time.Since(begin)
	// Everything at once, as a relay gets it that was replaced: the relay is killed and the time counts until the last
	// Service refuses instead of not answering.
	many, err := connects()
	if err != nil {
		return err
	}
	b.report.add(fmt.Sprintf("%d Services × %d endpoints, made through the API", manyServices, manyEndpoints), ms(made), "until the last was acknowledged")
	b.report.add("a new connection through a ClusterIP among them", fmt.Sprintf("%.0f µs", many), fmt.Sprintf("%.0f µs without them", few))
	return nil
}

func (b *bench) makeServices(ctx context.Context) error {
	label := map[string]string{"many": "true"}
	for i := range manyServices {
		name := fmt.Sprintf("many-%d", i)
		_, err := b.client.CoreV1().Services(namespace).Create(ctx, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: label},
			Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
		}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Name: name, Labels: map[string]string{"many": "true", discoveryv1.LabelServiceName: name}},
			AddressType: discoveryv1.AddressTypeIPv4,
			Ports:       []discoveryv1.EndpointPort{{Name: ptr.To(""), Port: ptr.To(int32(80)), Protocol: ptr.To(corev1.ProtocolTCP)}},
		}
		for e := range manyEndpoints {
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.99.%d.%d", e, 1+i%250)}})
		}
		if _, err := b.client.DiscoveryV1().EndpointSlices(namespace).Create(ctx, slice, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}
