package node

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"skiff.local/skiff/runtime/docker"
)

// A death is the end of a container as the engine saw it.
type death struct {
	container, code string
	at              time.Time
}

// deaths collects how the pods' containers end, in order; the function returns those of a pod.
func (c *cluster) deaths() func(pod string) []death {
	ctx, cancel := context.WithCancel(context.Background())
	c.t.Cleanup(cancel)
	events := c.engine.Events(ctx, docker.EventOptions{
		Types: []string{"container"}, Actions: []string{"die"}, Labels: map[string]string{docker.LabelProfile: c.profile},
	})
	var mu sync.Mutex
	seen := map[string][]death{}
	go func() {
		for ev := range events {
			id, ok := docker.ParseIdentity(ev.Attributes)
			if !ok || id.Role != docker.RoleContainer {
				continue
			}
			mu.Lock()
			seen[id.Pod] = append(seen[id.Pod], death{id.Container, ev.Attributes["exitCode"], ev.Time})
			mu.Unlock()
		}
	}()
	return func(pod string) []death {
		mu.Lock()
		defer mu.Unlock()
		return seen[pod]
	}
}

func names(deaths []death) string {
	var out []string
	for _, d := range deaths {
		out = append(out, d.container+"="+d.code)
	}
	return strings.Join(out, " ")
}

func hook(h v1.LifecycleHandler) *v1.Lifecycle { return &v1.Lifecycle{PreStop: &h} }

func execHook(text string) v1.LifecycleHandler {
	return v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{"/bin/sh", "-c", text}}}
}

// TestShutdown looks at how the containers of many pods go down.
func TestShutdown(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	deaths := c.deaths()
	c.run()
	always, usr1 := v1.ContainerRestartPolicyAlways, v1.SIGUSR1
	sidecar := func(p *v1.Pod, name, text string, change func(*v1.Container)) {
		k := c.container(name, text)
		k.RestartPolicy = &always
		if len(p.Spec.Volumes) > 0 {
			k.VolumeMounts = main(p).VolumeMounts
		}
		if change != nil {
			change(&k)
		}
		p.Spec.InitContainers = append(p.Spec.InitContainers, k)
	}
	// Every script says that it is listening to its signal: one that comes before does what it does to any program.
	const set = "touch /tmp/set; while true; do sleep 0.1; done"
	tests := []struct {
		name        string
		grace       int64
		want        string // who ends, how, in which order, or in another after a |
		least, most time.Duration
		make        func(*v1.Pod)
	}{
		{"sidecars", 30, "main=0 third=3 second=2 first=1", 0, 20 * time.Second, func(p *v1.Pod) {
			usualVolumes(p)
			// main ends only when the hook of a sidecar has run: hooks don't wait for their container's turn.
			script(p, "trap 'until stat /d/hooked; do sleep 0.1; done; exit 0' TERM; "+set)
			sidecar(p, "first", "trap 'exit 1' TERM; "+set, nil)
			sidecar(p, "second", "trap 'exit 2' TERM; "+set, func(k *v1.Container) { k.Lifecycle = hook(execHook("touch /d/hooked")) })
			sidecar(p, "third", "trap 'exit 3' TERM; "+set, nil)
		}},
		{"signal", 30, "main=10", 0, 20 * time.Second, func(p *v1.Pod) {
			script(p, "trap 'exit 10' USR1; "+set)
			main(p).Lifecycle = &v1.Lifecycle{StopSignal: &usr1}
		}},
		{"http-hook", 30, "main=11", 0, 20 * time.Second, func(p *v1.Pod) {
			script(p, "touch /tmp/set; printf 'HTTP/1.0 200 OK\\r\\n\\r\\n' | nc -l -p 8080; exit 11") // deaf to SIGTERM, ended by the hook's request
			main(p).Lifecycle = hook(v1.LifecycleHandler{HTTPGet: &v1.HTTPGetAction{Port: intstr.FromInt32(8080)}})
		}},
		{"sleep-hook", 30, "main=0", time.Second, 20 * time.Second, func(p *v1.Pod) {
			script(p, "trap 'exit 0' TERM; "+set)
			main(p).Lifecycle = hook(v1.LifecycleHandler{Sleep: &v1.SleepAction{Seconds: 1}})
		}},
		{"tcp-hook", 30, "main=0", 0, 20 * time.Second, func(p *v1.Pod) {
			script(p, "trap 'exit 0' TERM; "+set)
			main(p).Lifecycle = hook(v1.LifecycleHandler{TCPSocket: &v1.TCPSocketAction{Port: intstr80}})
		}},
		// A hook that takes all the time leaves the container two seconds, as with kubelet.
		{"long-hook", 2, "main=0", 0, 20 * time.Second, func(p *v1.Pod) {
			script(p, "trap 'exit 0' TERM; "+set)
			main(p).Lifecycle = hook(execHook("sleep 1000"))
		}},
		// A list of the engine's containers that is older than the pod once made the node forget what ran, and remove it
		// without a signal.
		{"unlisted", 30, "main=0", time.Second, 20 * time.Second, func(p *v1.Pod) {
			script(p, "trap 'sleep 1; exit 0' TERM; "+set)
		}},
		// Each in its turn, and all of them within one grace period.
		{"deaf-sidecars", 8, "main=0 second=137 first=137|main=0 first=137 second=137", 7 * time.Second, 14 * time.Second, func(p *v1.Pod) {
			script(p, "trap 'exit 0' TERM; "+set)
			sidecar(p, "first", "trap '' TERM; "+set, nil)
			sidecar(p, "second", "trap '' TERM; "+set, nil)
		}},
		{"deaf", 4, "main=137", 3 * time.Second, 15 * time.Second, func(p *v1.Pod) { script(p, "trap '' TERM; "+set) }},
	}
	for _, test := range tests {
		c.pod(test.name, test.make)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := c.in(t)
			if test.name == "http-hook" {
				c.needsRoute()
			}
			p := c.until(test.name, "ready", patience, ready)
			for _, list := range [][]v1.Container{p.Spec.InitContainers, p.Spec.Containers} {
				for i := range list {
					c.untilExec(test.name, list[i].Name, "set", "ls", "/tmp")
				}
			}
			if test.name == "unlisted" {
				c.agent.worker("default", test.name).Resync(nil)
			}
			start := time.Now()
			c.remove(test.name, test.grace)
			c.until(test.name, "gone", patience, gone)
			took := time.Since(start)
			c.untilGoneFromEngine(test.name)
			got := names(deaths(test.name))
			if !slices.Contains(strings.Split(test.want, "|"), got) {
				t.Errorf("ended: %q, want %q", got, test.want)
			}
			if took < test.least || took > test.most {
				t.Errorf("took %v, want between %v and %v", took, test.least, test.most)
			}
			failed := strings.Contains(c.eventsOf(test.name), "Warning FailedPreStopHook: PreStopHook failed")
			if want := test.name == "tcp-hook" || test.name == "long-hook"; failed != want {
				t.Errorf("a failed hook is said: %v, want %v, in\n%s", failed, want, c.eventsOf(test.name))
			}
		})
	}
}
