package plan

import (
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func newPod(change func(*v1.Pod)) *v1.Pod {
	grace := int64(30)
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", UID: "u"},
		Spec: v1.PodSpec{
			RestartPolicy: v1.RestartPolicyAlways, TerminationGracePeriodSeconds: &grace,
			Containers: []v1.Container{{Name: "main", Image: "app"}},
		},
	}
	if change != nil {
		change(p)
	}
	return p
}

func newFacts(pod *v1.Pod, change func(*Facts)) *Facts {
	f := &Facts{Now: noon, Pod: pod, Images: map[string]Image{}, EndpointsGone: true}
	if change != nil {
		change(f)
	}
	return f
}

// up gives the facts a running, prepared sandbox.
func up(f *Facts) {
	f.Sourced, f.Volumes = true, true
	f.Sandboxes = []Sandbox{{ID: "sb0", State: Running, Prepared: true}}
}

func container(name string, attempt int, state State, change func(*Container)) Container {
	c := Container{
		ID: name + string(rune('0'+attempt)), Name: name, Attempt: attempt, State: state,
		Created: noon.Add(-time.Minute), Started: noon.Add(-time.Minute), Hash: Hash(&v1.Container{Name: name, Image: "app"}),
	}
	if state == Exited || state == Gone {
		c.Finished = noon.Add(-time.Second)
	}
	if change != nil {
		change(&c)
	}
	return c
}

func TestPlans(t *testing.T) {
	sidecar := v1.ContainerRestartPolicyAlways
	withInit := newPod(func(p *v1.Pod) {
		p.Spec.InitContainers = []v1.Container{{Name: "one", Image: "app"}, {Name: "two", Image: "app"}}
	})
	withSidecars := newPod(func(p *v1.Pod) {
		p.Spec.InitContainers = []v1.Container{{Name: "s1", Image: "app", RestartPolicy: &sidecar}, {Name: "s2", Image: "app", RestartPolicy: &sidecar}}
	})
	withHooks := withSidecars.DeepCopy()
	for i := range withHooks.Spec.InitContainers {
		withHooks.Spec.InitContainers[i].Lifecycle = &v1.Lifecycle{PreStop: &v1.LifecycleHandler{}}
	}
	deleted := func(p *v1.Pod) *v1.Pod {
		p = p.DeepCopy()
		at, grace := metav1.NewTime(noon.Add(20*time.Second)), int64(30)
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &at, &grace
		return p
	}
	never := newPod(func(p *v1.Pod) { p.Spec.RestartPolicy = v1.RestartPolicyNever })

	for _, test := range []struct {
		name  string
		facts *Facts
		want  string
	}{
		{"a new pod gets its sandbox, its volumes' content and its image at once", newFacts(newPod(nil), nil), `
			source-volumes: volumes need their content
			create-sandbox #0: the pod has no sandbox
			ensure-image main #0: the container is to be created`},
		{"the container is created while the sandbox starts", newFacts(newPod(nil), func(f *Facts) {
			f.Sourced = true
			f.Sandboxes = []Sandbox{{ID: "sb0", State: Created}}
			f.Images["main"] = Image{}
		}), `
			start-sandbox sb0: the sandbox was created
			create main #0: the container has never run`},
		{"a container that needs the pod's address waits for the sandbox", newFacts(newPod(nil), func(f *Facts) {
			f.Sourced, f.Late = true, map[string]bool{"main": true}
			f.Sandboxes = []Sandbox{{ID: "sb0", State: Created}}
			f.Images["main"] = Image{}
		}), `start-sandbox sb0: the sandbox was created`},
		{"a created container starts once the sandbox is prepared", newFacts(newPod(nil), func(f *Facts) {
			up(f)
			f.Containers = []Container{container("main", 0, Created, nil)}
		}), `start main (main0): the container was created`},
		{"a running pod needs nothing", newFacts(newPod(nil), func(f *Facts) {
			up(f)
			f.Containers = []Container{container("main", 0, Running, nil)}
		}), ``},
		{"the first restart is immediate", newFacts(newPod(nil), func(f *Facts) {
			up(f)
			f.Images["main"] = Image{Attempt: 1}
			f.Containers = []Container{container("main", 0, Exited, func(c *Container) { c.ExitCode = 1 })}
		}), `create main #1: the container ended with exit code 1`},
		{"the second restart waits ten seconds", newFacts(newPod(nil), func(f *Facts) {
			up(f)
			f.Containers = []Container{container("main", 1, Exited, func(c *Container) { c.ExitCode, c.Backoff = 1, 10*time.Second })}
		}), `wait main: CrashLoopBackOff: back-off 10s restarting failed container=main pod=web_default(u)`},
		{"a container that ran for more than ten minutes starts over", newFacts(newPod(nil), func(f *Facts) {
			up(f)
			f.Images["main"] = Image{Attempt: 8}
			f.Containers = []Container{container("main", 7, Exited, func(c *Container) {
				c.ExitCode, c.Backoff, c.Started = 1, 5*time.Minute, noon.Add(-time.Hour)
			})}
		}), `create main #8: the container ended with exit code 1`},
		{"only one ended container is kept", newFacts(newPod(nil), func(f *Facts) {
			up(f)
			f.Containers = []Container{container("main", 0, Exited, nil), container("main", 1, Exited, nil), container("main", 2, Running, nil)}
		}), `remove main (main0): only one ended container is kept`},
		{"init containers come one after the other", newFacts(withInit, func(f *Facts) {
			up(f)
			f.Images["two"] = Image{}
			f.Containers = []Container{container("one", 0, Exited, nil)}
		}), `create two #0: the init container is next`},
		{"a failed init container ends a pod that never restarts", newFacts(newPod(func(p *v1.Pod) {
			p.Spec.RestartPolicy = v1.RestartPolicyNever
			p.Spec.InitContainers = []v1.Container{{Name: "one", Image: "app"}}
		}), func(f *Facts) {
			up(f)
			f.Containers = []Container{container("one", 0, Exited, func(c *Container) { c.ExitCode = 1 })}
		}), `remove-sandbox sb0: init container one failed with exit code 1`},
		{"the next sidecar waits for the startup probe of the one before", newFacts(func() *v1.Pod {
			p := withSidecars.DeepCopy()
			p.Spec.InitContainers[0].StartupProbe = &v1.Probe{}
			return p
		}(), func(f *Facts) {
			up(f)
			f.Containers = []Container{container("s1", 0, Running, nil)}
		}), ``},
		{"sidecars stop when all else has ended, the last one first", newFacts(func() *v1.Pod {
			p := withSidecars.DeepCopy()
			p.Spec.RestartPolicy = v1.RestartPolicyNever
			return p
		}(), func(f *Facts) {
			up(f)
			f.Containers = []Container{container("s1", 0, Running, nil), container("s2", 0, Running, nil), container("main", 0, Exited, nil)}
		}), `stop s2 (s20): every container has ended`},
		{"a completed pod gives its sandbox back", newFacts(never, func(f *Facts) {
			up(f)
			f.Containers = []Container{container("main", 0, Exited, nil)}
		}), `remove-sandbox sb0: every container has ended`},
		{"a failed liveness probe stops the container", newFacts(newPod(func(p *v1.Pod) { p.Spec.Containers[0].LivenessProbe = &v1.Probe{} }), func(f *Facts) {
			up(f)
			f.Containers = []Container{container("main", 0, Running, nil)}
			f.Probes = map[string]Probes{"main0": {Liveness: Failure}}
		}), `stop main (main0): Container main failed liveness probe, will be restarted`},
		{"a new image stops the container", newFacts(newPod(func(p *v1.Pod) { p.Spec.Containers[0].Image = "app:2" }), func(f *Facts) {
			up(f)
			f.Containers = []Container{container("main", 0, Running, nil)}
		}), `stop main (main0): Container main definition changed, will be restarted`},
		{"a hook holds back the next container's start, not its creation", newFacts(newPod(func(p *v1.Pod) {
			p.Spec.Containers[0].Lifecycle = &v1.Lifecycle{PostStart: &v1.LifecycleHandler{}}
			p.Spec.Containers = append(p.Spec.Containers, v1.Container{Name: "next", Image: "app"}, v1.Container{Name: "third", Image: "app"})
		}), func(f *Facts) {
			up(f)
			f.Images["third"] = Image{}
			f.Containers = []Container{container("main", 0, Running, nil), container("next", 0, Created, nil)}
			f.Hooks = map[string]Hook{"main0": HookPending}
		}), `
			post-start main (main0): the container has started
			create third #0: the container has never run`},
		{"the containers of a dead sandbox go down with it", newFacts(newPod(nil), func(f *Facts) {
			up(f)
			f.Sandboxes[0].State = Exited
			f.Containers = []Container{container("main", 0, Running, nil)}
		}), `stop main (main0): the pod's sandbox is gone, its containers have lost their network`},
		{"a dead sandbox is removed and then replaced", newFacts(newPod(nil), func(f *Facts) {
			up(f)
			f.Sandboxes[0].State = Gone
			f.Containers = []Container{container("main", 0, Exited, func(c *Container) { c.ExitCode = 137 })}
		}), `
			create-sandbox #1: the pod has no sandbox
			ensure-image main #1: the container is to be created`},
		{"a rebuilt pod runs its init containers again", newFacts(withInit, func(f *Facts) {
			up(f)
			f.Sandboxes[0].Attempt, f.Sandboxes[0].ID = 1, "sb1"
			f.Images["one"] = Image{Attempt: 1}
			f.Containers = []Container{container("one", 0, Exited, nil), container("two", 0, Exited, nil), container("main", 0, Exited, nil)}
		}), `create one #1: the init container is next`},
		{"endpoints go before the containers", newFacts(deleted(newPod(nil)), func(f *Facts) {
			up(f)
			f.EndpointsGone = false
			f.Containers = []Container{container("main", 0, Running, nil)}
		}), `
			await-endpoints: Services must stop sending before the containers stop answering
			wait: Draining: Services still send traffic to the pod`},
		{"a deleted pod stops all regular containers together, sidecars later", newFacts(deleted(withSidecars), func(f *Facts) {
			up(f)
			f.Containers = []Container{container("s1", 0, Running, nil), container("main", 0, Running, nil), container("s2", 0, Running, nil)}
		}), `stop main (main0): the pod is being deleted`},
		{"sidecars' preStop hooks run while they wait for their turn", newFacts(deleted(withHooks), func(f *Facts) {
			up(f)
			f.Containers = []Container{container("s1", 0, Running, nil), container("main", 0, Running, nil), container("s2", 0, Running, nil)}
		}), `
			stop main (main0): the pod is being deleted
			pre-stop s2 (s20): the pod goes down
			pre-stop s1 (s10): the pod goes down`},
		{"a sidecar's turn waits for its hook", newFacts(deleted(withHooks), func(f *Facts) {
			up(f)
			f.Containers = []Container{container("s1", 0, Running, nil), container("s2", 0, Running, nil)}
			f.InFlight = map[Key]InFlight{{PreStop, "s20"}: {}}
			f.PreStopped = map[string]bool{"s10": true}
		}), ``},
		{"a sidecar whose hook is over stops in its turn", newFacts(deleted(withHooks), func(f *Facts) {
			up(f)
			f.Containers = []Container{container("s1", 0, Running, nil), container("s2", 0, Running, nil)}
			f.PreStopped = map[string]bool{"s10": true, "s20": true}
		}), `stop s2 (s20): the pod is being deleted`},
		{"past the deadline no sidecar waits for its turn", newFacts(deleted(withHooks), func(f *Facts) {
			up(f)
			f.Now = noon.Add(time.Hour)
			f.Containers = []Container{container("s1", 0, Running, nil), container("main", 0, Running, nil), container("s2", 0, Running, nil)}
			f.InFlight = map[Key]InFlight{{StopContainer, "main0"}: {}}
		}), `
			stop s1 (s10): the pod is being deleted
			stop s2 (s20): the pod is being deleted`},
		{"a stopped pod gives up everything, then its name", newFacts(deleted(newPod(nil)), func(f *Facts) {
			up(f)
			f.Containers = []Container{container("main", 0, Exited, nil)}
		}), `
			remove-sandbox sb0: the pod is being deleted
			remove main (main0): the pod is being deleted`},
		{"the API object goes with the sandbox, the volumes with the containers", newFacts(deleted(newPod(nil)), func(f *Facts) {
			up(f)
			f.Sandboxes[0].State = Gone
			f.Containers = []Container{container("main", 0, Gone, nil)}
		}), `
			finish: every container has stopped
			remove-volumes: the pod is gone`},
		{"nothing left is done", newFacts(deleted(newPod(nil)), func(f *Facts) { f.Finished = true }), `done`},
		{"a pull is given up when the pod is deleted", newFacts(deleted(newPod(nil)), func(f *Facts) {
			f.InFlight = map[Key]InFlight{{EnsureImage, "main/0"}: {}}
		}), `
			finish: every container has stopped
			cancel ensure-image main/0`},
		{"what is being created is waited for before it is removed", newFacts(deleted(newPod(nil)), func(f *Facts) {
			up(f)
			f.InFlight = map[Key]InFlight{{CreateContainer, "main/0"}: {}}
		}), `wait: Settling: create has to end first`},
		{"a shorter grace period hurries a stop", newFacts(deleted(newPod(nil)), func(f *Facts) {
			up(f)
			f.Containers = []Container{container("main", 0, Running, nil)}
			f.InFlight = map[Key]InFlight{{StopContainer, "main0"}: {Deadline: noon.Add(time.Hour)}}
		}), `hurry stop main (main0): the pod is being deleted`},
		{"a short disk takes what a pod that has ended left, but for its object", newFacts(newPod(func(p *v1.Pod) { p.Status.Phase = v1.PodSucceeded }), func(f *Facts) {
			f.Reclaim, f.Volumes = true, true
			f.Containers = []Container{container("main", 0, Exited, nil)}
		}), `remove main (main0): the disk of the node is short`},
		{"then its volumes", newFacts(newPod(func(p *v1.Pod) { p.Status.Phase = v1.PodSucceeded }), func(f *Facts) {
			f.Reclaim, f.Volumes = true, true
			f.Containers = []Container{container("main", 0, Gone, nil)}
		}), `remove-volumes: the pod is gone`},
		{"a short disk takes the container before the one that runs", newFacts(newPod(nil), func(f *Facts) {
			up(f)
			f.Reclaim = true
			f.Containers = []Container{container("main", 0, Exited, nil), container("main", 1, Running, nil)}
		}), `remove main (main0): the disk of the node is short`},
		{"and not the last one of a container that waits for its restart", newFacts(newPod(nil), func(f *Facts) {
			up(f)
			f.Reclaim = true
			f.Containers = []Container{container("main", 0, Exited, func(c *Container) { c.ExitCode, c.Backoff = 1, time.Minute })}
		}), `wait main: CrashLoopBackOff: back-off 1m0s restarting failed container=main pod=web_default(u)`},
		{"an image that can't be pulled is waited for", newFacts(newPod(nil), func(f *Facts) {
			up(f)
			f.Faults = map[Key]Fault{{EnsureImage, "main/0"}: {Reason: "ErrImagePull", Message: "no", At: noon.Add(-5 * time.Second), Count: 1}}
		}), `wait main: ImagePullBackOff: Back-off pulling image "app": ErrImagePull: no`},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.facts.Sort()
			got := Compute(test.facts)
			if want := outdent(test.want); strings.TrimSpace(got.String()) != want {
				t.Errorf("got:\n%swant:\n%s", got, want)
			}
		})
	}
}

func outdent(s string) string {
	var lines []string
	for _, line := range strings.Split(s, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

func TestBackoffDoublesToFiveMinutes(t *testing.T) {
	c := container("main", 0, Exited, nil)
	var got []time.Duration
	for range 8 {
		at, next := restart(&c, c.Hash)
		got = append(got, at.Sub(c.ended()))
		c.Backoff = next
	}
	want := []time.Duration{0, 10, 20, 40, 80, 160, 300, 300}
	for i := range want {
		if got[i] != want[i]*time.Second {
			t.Fatalf("delays %v", got)
		}
	}
}
