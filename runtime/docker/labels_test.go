package docker

import (
	"testing"

	"pgregory.net/rapid"
)

func identities(t *rapid.T) Identity {
	name := rapid.StringMatching(`[a-z0-9]([-a-z0-9.]{0,20}[a-z0-9])?`)
	id := Identity{
		Profile: name.Draw(t, "profile"), Role: RoleContainer, Pod: name.Draw(t, "pod"), Namespace: name.Draw(t, "namespace"),
		UID: rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}`).Draw(t, "uid"), Container: name.Draw(t, "container"),
		Attempt: rapid.IntRange(0, 1000).Draw(t, "attempt"), SpecHash: rapid.StringMatching(`[0-9a-f]{0,8}`).Draw(t, "hash"),
	}
	if rapid.Bool().Draw(t, "sandbox") {
		id.Role, id.Container = RoleSandbox, SandboxContainer
	}
	return id
}

func TestIdentitiesSurviveTheirLabelsAndNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := identities(t)
		got, ok := ParseIdentity(want.Labels())
		if !ok || got != want {
			t.Fatalf("labels: got %+v, want %+v", got, want)
		}
		named, err := ParseContainerName("/" + want.ContainerName())
		want.Profile, want.SpecHash = "", ""
		if err != nil || named != want {
			t.Fatalf("name: got %+v, %v, want %+v", named, err, want)
		}
	})
}

func TestOtherPeoplesContainersAreNotOurs(t *testing.T) {
	for name, labels := range map[string]map[string]string{
		"no labels":       nil,
		"a kubelet's":     {LabelPodUID: "1", LabelContainerName: "x", LabelAttempt: "0"},
		"a relay":         {LabelProfile: "p", LabelRole: string(RoleRelay), LabelPodUID: "1", LabelContainerName: "x", LabelAttempt: "0"},
		"a broken count":  {LabelProfile: "p", LabelRole: string(RoleContainer), LabelPodUID: "1", LabelContainerName: "x", LabelAttempt: "-1"},
		"no pod":          {LabelProfile: "p", LabelRole: string(RoleContainer), LabelContainerName: "x", LabelAttempt: "0"},
		"an absent count": {LabelProfile: "p", LabelRole: string(RoleContainer), LabelPodUID: "1", LabelContainerName: "x"},
	} {
		if id, ok := ParseIdentity(labels); ok {
			t.Errorf("%s: taken for %+v", name, id)
		}
	}
}

func FuzzParseContainerName(f *testing.F) {
	f.Add("/k8s_POD_web-0_default_1234_0")
	f.Add("k8s_a_b_c_d_-1")
	f.Fuzz(func(t *testing.T, name string) {
		id, err := ParseContainerName(name)
		if err != nil {
			return
		}
		again, err := ParseContainerName(id.ContainerName())
		if err != nil || again != id {
			t.Errorf("%q reads as %+v, which reads as %+v, %v", name, id, again, err)
		}
	})
}
