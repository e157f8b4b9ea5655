package e2e

import (
	"os/exec"
	"strings"
	"testing"
)

const keeper = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: gone}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: kept}
spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: user}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: "IMAGE:0.1", volumeMounts: [{name: a, mountPath: /a}, {name: b, mountPath: /b}]}]
  volumes: [{name: a, persistentVolumeClaim: {claimName: gone}}, {name: b, persistentVolumeClaim: {claimName: kept}}]
`

func TestVolumesAreReclaimedAsTheirPolicySays(t *testing.T) {
	ensureStarted(t)
	namespace(t, "volumes")
	inEngine := func(handle string) bool {
		t.Helper()
		return try(t, "docker", "volume", "inspect", handle).code == 0
	}
	kubectl(t, "apply", "-f", file(t, "claims.yaml", keeper))
	kubectl(t, "wait", "pod/user", "--for=condition=Ready", "--timeout=90s")
	volume, handle := map[string]string{}, map[string]string{}
	for _, claim := range []string{"gone", "kept"} {
		volume[claim] = jsonpath(t, "{.spec.volumeName}", "pvc", claim)
		handle[claim] = jsonpath(t, "{.spec.csi.volumeHandle}", "pv", volume[claim])
		if !inEngine(handle[claim]) {
			t.Fatalf("the engine has no volume %q", handle[claim])
		}
	}
	t.Cleanup(func() { _ = exec.Command("docker", "volume", "rm", "-f", handle["kept"]).Run() })
	kubectl(t, "patch", "pv", volume["kept"], "-p", `{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}`)
	kubectl(t, "exec", "user", "--", "sh", "-c", "echo precious > /b/data")

	kubectl(t, "delete", "pvc", "gone", "kept", "--wait=false")
	if got := kubectl(t, "get", "pvc"); strings.Count(got, "Terminating") != 2 {
		t.Errorf("claims that a pod uses are protected:\n%s", got)
	}
	kubectl(t, "delete", "pod", "user")
	kubectl(t, "wait", "pv/"+volume["gone"], "--for=delete", "--timeout=90s")
	kubectl(t, "wait", "pv/"+volume["kept"], "--for=jsonpath={.status.phase}=Released", "--timeout=90s")
	eventually(t, slow, func() string {
		if inEngine(handle["gone"]) {
			return "the engine still has the volume of the claim that was deleted"
		}
		return ""
	})
	if !inEngine(handle["kept"]) {
		t.Error("the volume with policy Retain is gone from the engine")
	}

	// An administrator gives it to the next claim.
	kubectl(t, "patch", "pv", volume["kept"], "--type=json", "-p", `[{"op":"remove","path":"/spec/claimRef"}]`)
	again := strings.NewReplacer("name: kept}", "name: again}", "claimName: kept", "claimName: again", "{storage: 1Gi}}}\n---\napiVersion: v1\nkind: Pod", "{storage: 1Gi}}, volumeName: "+volume["kept"]+"}\n---\napiVersion: v1\nkind: Pod").Replace(keeper)
	kubectl(t, "apply", "-f", file(t, "again.yaml", again))
	kubectl(t, "wait", "pod/user", "--for=condition=Ready", "--timeout=90s")
	if got := kubectl(t, "exec", "user", "--", "cat", "/b/data"); strings.TrimSpace(got) != "precious" {
		t.Errorf("the retained volume holds %q", got)
	}
	kubectl(t, "delete", "pod", "user")
	kubectl(t, "delete", "pvc", "again", "gone")
	kubectl(t, "delete", "pv", volume["kept"])
}
