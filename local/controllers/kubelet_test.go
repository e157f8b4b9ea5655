package controllers_test

import (
	"context"
	"fmt"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

// annotationExit makes a pod finish as soon as it is started, with this exit code.
const annotationExit = "test/exit"

// fakeKubelet says of every pod that is bound to a node that it runs, or has finished, and lets deleted pods go.
type fakeKubelet struct {
	client  kubernetes.Interface
	started atomic.Int64
}

func newFakeKubelet(client kubernetes.Interface, inf informers.SharedInformerFactory) *fakeKubelet {
	k := &fakeKubelet{client: client}
	handle := func(obj any) {
		if p, ok := obj.(*corev1.Pod); ok && p.Spec.NodeName != "" {
			go k.sync(p.DeepCopy())
		}
	}
	inf.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: handle, UpdateFunc: func(_, obj any) { handle(obj) }})
	return k
}

func (k *fakeKubelet) sync(p *corev1.Pod) {
	ctx, pods := context.Background(), k.client.CoreV1().Pods(p.Namespace)
	if p.DeletionTimestamp != nil {
		pods.Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0), Preconditions: &metav1.Preconditions{UID: &p.UID}})
		return
	}
	if p.Status.Phase != corev1.PodPending && p.Status.Phase != "" {
		return
	}
	now, n := metav1.Now(), k.started.Add(1)
	p.Status.Phase = corev1.PodRunning
	p.Status.StartTime = &now
	p.Status.HostIP = "10.244.0.1"
	p.Status.HostIPs = []corev1.HostIP{{IP: p.Status.HostIP}}
	p.Status.PodIP = fmt.Sprintf("10.244.%d.%d", 1+n/250, n%250+1)
	p.Status.PodIPs = []corev1.PodIP{{IP: p.Status.PodIP}}
	state, ready := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}, corev1.ConditionTrue
	if code, ok := p.Annotations[annotationExit]; ok {
		var exit int32
		fmt.Sscan(code, &exit)
		p.Status.Phase, ready = corev1.PodSucceeded, corev1.ConditionFalse
		if exit != 0 {
			p.Status.Phase = corev1.PodFailed
		}
		state = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: exit, StartedAt: now, FinishedAt: now}}
	}
	p.Status.ContainerStatuses = nil
	for _, c := range p.Spec.Containers {
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, ImageID: "sha256:test", Ready: ready == corev1.ConditionTrue, Started: ptr.To(true), State: state,
		})
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady} {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: ready, LastTransitionTime: now})
	}
	pods.UpdateStatus(ctx, p, metav1.UpdateOptions{})
}
