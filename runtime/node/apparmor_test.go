package node

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// TestAppArmor looks from inside at the profile that a container runs under.
func TestAppArmor(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.run()
	profile := func(kind v1.AppArmorProfileType, name string) *v1.AppArmorProfile {
		if kind != v1.AppArmorProfileTypeLocalhost {
			return &v1.AppArmorProfile{Type: kind}
		}
		return &v1.AppArmorProfile{Type: kind, LocalhostProfile: &name}
	}
	// The engine loads a profile, which can be asked for by name, too.
	const loaded, unloaded = "docker-default", "skiff-is-not-loaded"
	yes := true
	localhost, runtimeDefault := v1.AppArmorProfileTypeLocalhost, v1.AppArmorProfileTypeRuntimeDefault
	info, err := c.engine.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !info.AppArmor {
		c.pod("named", func(p *v1.Pod) {
			main(p).SecurityContext = &v1.SecurityContext{AppArmorProfile: profile(localhost, loaded)}
		})
		c.refused("named", "CreateContainerConfigError", "Cannot enforce AppArmor: AppArmor is not enabled on the engine's host")
		c.pod("default", func(p *v1.Pod) {
			p.Spec.SecurityContext = &v1.PodSecurityContext{AppArmorProfile: profile(runtimeDefault, "")}
		})
		c.until("default", "ready", patience, ready)
		t.Skip("the rest needs an engine with AppArmor")
	}
	tests := []struct {
		name string
		make func(*v1.Pod)
		want string
	}{
		{"plain", nil, loaded + " (enforce)"},
		{"default", func(p *v1.Pod) {
			p.Spec.SecurityContext = &v1.PodSecurityContext{AppArmorProfile: profile(runtimeDefault, "")}
		}, loaded + " (enforce)"},
		{"named", func(p *v1.Pod) {
			main(p).SecurityContext = &v1.SecurityContext{Privileged: &yes, AppArmorProfile: profile(localhost, loaded)}
		}, loaded + " (enforce)"},
		{"unconfined", func(p *v1.Pod) {
			p.Spec.SecurityContext = &v1.PodSecurityContext{AppArmorProfile: profile(runtimeDefault, "")}
			main(p).SecurityContext = &v1.SecurityContext{AppArmorProfile: profile(v1.AppArmorProfileTypeUnconfined, "")}
		}, "unconfined"},
		{"privileged", func(p *v1.Pod) { main(p).SecurityContext = &v1.SecurityContext{Privileged: &yes} }, "unconfined"},
		{"privileged-default", func(p *v1.Pod) {
			main(p).SecurityContext = &v1.SecurityContext{Privileged: &yes, AppArmorProfile: profile(runtimeDefault, "")}
		}, loaded + " (enforce)"},
	}
	for _, test := range tests {
		c.pod(test.name, test.make)
	}
	c.pod("unloaded", func(p *v1.Pod) {
		main(p).SecurityContext = &v1.SecurityContext{AppArmorProfile: profile(localhost, unloaded)}
	})
	for _, test := range tests {
		c.until(test.name, "ready", patience, ready)
		if got := strings.TrimSpace(c.exec(test.name, "main", "cat", "/proc/1/attr/current")); got != test.want {
			t.Errorf("%s runs under %q, want %q", test.name, got, test.want)
		}
	}
	c.untilEvent("unloaded", "load the AppArmor profile on the engine's host")
}

// refused waits until the pod's container waits for a reason, and looks for text in the message.
func (c *cluster) refused(pod, reason, text string) {
	c.t.Helper()
	p := c.until(pod, "refused", patience, func(p *v1.Pod) bool {
		w := status(p, "main").State.Waiting
		return w != nil && w.Reason == reason
	})
	if got := status(p, "main").State.Waiting.Message; !strings.Contains(got, text) {
		c.t.Errorf("%s is refused with %q, want %q", pod, got, text)
	}
}
