package daemon

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"skiff.local/skiff/local/client"
	"skiff.local/skiff/runtime/pod"
)

// The node takes up a pod that is scheduled to it within milliseconds; after a start it adopts all that run first. Chosen.
const (
	takeUpTimeout  = 10 * time.Second
	takeUpInterval = 20 * time.Millisecond
)

// why explains what a pod waits for.
func (d *daemon) why(ctx context.Context, namespace, name string) (any, error) {
	node, err := d.awaitNode(ctx)
	if err != nil {
		return nil, err
	}
	var why pod.Why
	err = wait.PollUntilContextTimeout(ctx, takeUpInterval, takeUpTimeout, true, func(ctx context.Context) (known bool, err error) {
		if why, known = node.agent.Why(namespace, name); known && why.Name != "" {
			return true, nil // it has looked at the pod once
		}
		p, err := d.client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && p.Spec.NodeName == "" {
			err = d.unscheduled(p)
		}
		return false, err
	})
	switch {
	case apierrors.IsNotFound(err):
		return nil, &client.Failure{
			Reason:  client.ReasonNotFound,
			Message: fmt.Sprintf("there is no pod %q in namespace %q", name, namespace),
			Hint:    "`" + d.profile.Command("get pods -A") + "` lists the pods",
		}
	case wait.Interrupted(err):
		return nil, fmt.Errorf("the node has not taken up pod %s/%s: %w", namespace, name, err)
	}
	return why, err
}

// unscheduled tells why no node runs a pod; the node knows nothing of it.
func (d *daemon) unscheduled(p *corev1.Pod) error {
	message := fmt.Sprintf("pod %s/%s is not scheduled to a node yet", p.Namespace, p.Name)
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Message != "" {
			message += ": " + c.Message
		}
	}
	return &client.Failure{
		Reason: client.ReasonUnscheduled, Message: message,
		Hint: "`" + d.profile.Command("describe pod "+p.Name+" -n "+p.Namespace) + "` shows what it asks for",
	}
}
