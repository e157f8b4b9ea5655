package logs

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/kubectl/pkg/polymorphichelpers"
	"k8s.io/kubectl/pkg/scheme"

	"skiff.local/skiff/cmd/cli/exit"
)

// target says which pods are meant.
type target struct {
	namespace string // empty for all
	selector  labels.Selector
	// wants are alternatives; none means every pod.
	wants []want
	// fixed is true when all wants are exact names: nothing can take their place.
	fixed bool
	// asked is what was typed, for messages.
	asked []string
}

type want struct {
	name     string
	pattern  *regexp.Regexp
	selector labels.Selector
}

func (t target) matches(pod *corev1.Pod) bool {
	if !t.selector.Matches(labels.Set(pod.Labels)) {
		return false
	}
	if len(t.wants) == 0 {
		return true
	}
	return slices.ContainsFunc(t.wants, func(w want) bool {
		switch {
		case w.selector != nil:
			return w.selector.Matches(labels.Set(pod.Labels))
		case w.pattern != nil:
			return w.pattern.MatchString(pod.Name)
		}
		return w.name == pod.Name
	})
}

func (o *options) resolve(ctx context.Context, args []string) (target, error) {
	namespace, _, err := o.factory.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return target{}, err
	}
	if o.allNamespaces {
		namespace = ""
	}
	t := target{namespace: namespace, selector: labels.Everything(), fixed: len(args) > 0, asked: args}
	if o.selector != "" {
		if t.selector, err = labels.Parse(o.selector); err != nil {
			return target{}, exit.With(exit.Usage, fmt.Errorf("--selector: %w", err), "")
		}
	}
	for _, arg := range args {
		w, err := o.want(ctx, namespace, arg)
		if err != nil {
			return target{}, err
		}
		t.wants = append(t.wants, w)
		t.fixed = t.fixed && w.name != ""
	}
	return t, nil
}

func (o *options) want(ctx context.Context, namespace, arg string) (want, error) {
	if kind, name, ok := strings.Cut(arg, "/"); ok {
		if kind == "pod" || kind == "pods" || kind == "po" {
			return want{name: name}, nil
		}
		return o.workload(namespace, arg)
	}
	if o.isPod(ctx, arg) {
		return want{name: arg}, nil
	}
	pattern, err := regexp.Compile(arg)
	if err != nil {
		return want{}, exit.With(exit.Usage, fmt.Errorf("%q is neither a pod nor a regular expression: %w", arg, err), "")
	}
	return want{pattern: pattern}, nil
}

func (o *options) isPod(ctx context.Context, name string) bool {
	namespace, _, err := o.factory.ToRawKubeConfigLoader().Namespace()
	if err != nil || o.allNamespaces || strings.ContainsAny(name, `*+?()[]{}|^$\/`) {
		return false
	}
	_, err = o.client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	return err == nil
}

// workload finds the pods of a Deployment, a Service, a Job and the like by their selector.
func (o *options) workload(namespace, arg string) (want, error) {
	object, err := o.factory.NewBuilder().
		WithScheme(scheme.Scheme, scheme.Scheme.PrioritizedVersionsAllGroups()...).
		NamespaceParam(namespace).DefaultNamespace().
		ResourceNames("pods", arg).SingleResourceType().Do().Object()
	if err != nil {
		return want{}, err
	}
	_, selector, err := polymorphichelpers.SelectorsForObject(object)
	if err != nil {
		return want{}, fmt.Errorf("find the pods of %s: %w", arg, err)
	}
	return want{selector: selector}, nil
}

// pods lists the pods that are meant now.
func (o *options) pods(ctx context.Context, t target) ([]corev1.Pod, error) {
	list, err := o.client.CoreV1().Pods(t.namespace).List(ctx, metav1.ListOptions{LabelSelector: t.selector.String()})
	if err != nil {
		return nil, err
	}
	pods := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return !t.matches(&p) })
	if len(pods) == 0 {
		list := "get pods -A"
		if t.namespace != "" {
			list = "get pods -n " + t.namespace
		}
		return nil, exit.With(exit.General, o.nothing(t), "`"+o.command(list)+"` lists the pods")
	}
	return pods, nil
}

func (o *options) nothing(t target) error {
	where := fmt.Sprintf("in namespace %q", t.namespace)
	if t.namespace == "" {
		where = "in any namespace"
	}
	if t.fixed && len(t.wants) == 1 {
		return apierrors.NewNotFound(corev1.Resource("pods"), t.wants[0].name)
	}
	switch {
	case len(t.wants) > 0 && o.selector != "":
		return fmt.Errorf("no pod %s has the labels %s and is or matches %s", where, o.selector, strings.Join(t.asked, ", "))
	case len(t.wants) > 0:
		return fmt.Errorf("no pod %s is or matches %s", where, strings.Join(t.asked, ", "))
	case o.selector != "":
		return fmt.Errorf("no pod %s has the labels %s", where, o.selector)
	}
	return fmt.Errorf("there is no pod %s", where)
}

// source is one container of one pod, and which of its runs.
type source struct {
	namespace, pod, container string
	uid                       string
	restarts                  int32
}

// sources are the containers of a pod whose logs are wanted; waiting tells why the others have none.
func (o *options) sources(pod *corev1.Pod) (list []source, waiting []string) {
	statuses := slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses)
	for _, s := range statuses {
		if o.containers != nil && !o.containers.MatchString(s.Name) {
			continue
		}
		hasRun := s.State.Running != nil || s.State.Terminated != nil || s.LastTerminationState.Terminated != nil
		if !hasRun || o.previous && s.LastTerminationState.Terminated == nil {
			reason := "has not started"
			if w := s.State.Waiting; w != nil && w.Reason != "" {
				reason = "is waiting: " + w.Reason
			}
			if o.previous {
				reason = "has not restarted"
			}
			waiting = append(waiting, fmt.Sprintf("container %q of pod %q %s", s.Name, pod.Name, reason))
			continue
		}
		list = append(list, source{namespace: pod.Namespace, pod: pod.Name, container: s.Name, uid: string(pod.UID), restarts: s.RestartCount})
	}
	return list, waiting
}
