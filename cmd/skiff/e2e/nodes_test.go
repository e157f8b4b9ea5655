package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// withNodes shows the engine as n nodes for one test.
func withNodes(t *testing.T, n int) {
	t.Helper()
	ensureStarted(t)
	t.Cleanup(func() { restart(t, nil, "--nodes=1") })
	restart(t, nil, fmt.Sprintf("--nodes=%d", n))
}

const spreadOut = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: everywhere}
spec:
  selector: {matchLabels: {app: everywhere}}
  template:
    metadata: {labels: {app: everywhere}}
    spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: "IMAGE:0.1"}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: apart}
spec:
  replicas: 3
  selector: {matchLabels: {app: apart}}
  template:
    metadata: {labels: {app: apart}}
    spec:
      terminationGracePeriodSeconds: 1
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: apart}}}]
      containers: [{name: c, image: "IMAGE:0.1"}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: apart}
spec: {minAvailable: 2, selector: {matchLabels: {app: apart}}}
`

func TestNodesAreDrainedAndFilledAgain(t *testing.T) {
	withNodes(t, 3)
	namespace(t, "nodes")
	kubectl(t, "apply", "-f", file(t, "spread.yaml", spreadOut))
	kubectl(t, "rollout", "status", "daemonset/everywhere", "--timeout=2m")
	kubectl(t, "rollout", "status", "deployment/apart", "--timeout=2m")
	nodes := strings.Fields(jsonpath(t, "{.items[*].metadata.name}", "nodes"))
	on := func(app string) []string {
		t.Helper()
		names := strings.Fields(jsonpath(t, "{.items[*].spec.nodeName}", "pods", "-l", "app="+app))
		slices.Sort(names)
		return names
	}
	slices.Sort(nodes)
	for _, app := range []string{"everywhere", "apart"} {
		if got := on(app); !slices.Equal(got, nodes) || len(nodes) != 3 {
			t.Fatalf("the pods of %s are on %v, of the nodes %v", app, got, nodes)
		}
	}

	drain := func(node string, more ...string) result {
		t.Helper()
		return try(t, shared.kubectl, append([]string{"drain", node}, more...)...)
	}
	if r := drain(nodes[1]); r.code == 0 || !strings.Contains(r.errOut, "cannot delete DaemonSet-managed Pods") {
		t.Errorf("a drain that does not know of the DaemonSet: %s", r)
	}
	if r := drain(nodes[1], "--ignore-daemonsets", "--timeout=90s"); r.code != 0 || !strings.Contains(r.out, "drained") {
		t.Fatalf("%s", r)
	}
	kubectl(t, "wait", "pod", "-l", "app=apart", "--for=jsonpath={.status.conditions[?(@.type=='PodScheduled')].reason}=Unschedulable", "--field-selector=status.phase=Pending", "--timeout=60s")
	eventuallyPrints(t, "didn't match pod anti-affinity rules", "get", "events", "--field-selector=reason=FailedScheduling")
	if r := drain(nodes[2], "--ignore-daemonsets", "--timeout=3s"); r.code == 0 || !strings.Contains(r.out+r.errOut, "would violate the pod's disruption budget") {
		t.Errorf("a drain against the disruption budget: %s", r)
	}
	if out := kubectl(t, "get", "nodes"); strings.Count(out, "SchedulingDisabled") != 2 {
		t.Errorf("two nodes are cordoned:\n%s", out)
	}
	kubectl(t, "uncordon", nodes[1], nodes[2])
	kubectl(t, "rollout", "status", "deployment/apart", "--timeout=2m")
	if got := on("apart"); !slices.Equal(got, nodes) {
		t.Errorf("after uncordon the pods are on %v", got)
	}

	kubectl(t, "taint", "node", nodes[0], "maintenance=yes:NoExecute")
	eventually(t, slow, func() string {
		if got := on("everywhere"); slices.Contains(got, nodes[0]) {
			return fmt.Sprintf("the taint on %s evicts nobody: %v", nodes[0], got)
		}
		return ""
	})
	kubectl(t, "taint", "node", nodes[0], "maintenance-")
	kubectl(t, "rollout", "status", "daemonset/everywhere", "--timeout=2m")

	if out := kubectl(t, "top", "nodes"); strings.Count(out, "Mi ") < 3 {
		t.Errorf("top nodes:\n%s", out)
	}
	eventuallyPrints(t, "everywhere-", "top", "pods", "--containers")
}

const bound = `
apiVersion: v1
kind: Pod
metadata: {name: first}
spec:
  nodeName: NODE
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: "IMAGE:0.1", ports: [{containerPort: 8080, hostPort: 21391}]}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: second}
spec:
  serviceName: second
  selector: {matchLabels: {app: second}}
  template:
    metadata: {labels: {app: second}}
    spec:
      nodeName: NODE
      terminationGracePeriodSeconds: 1
      containers: [{name: c, image: "IMAGE:0.1", ports: [{containerPort: 8080, hostPort: 21391}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: large}
spec: {nodeName: NODE, containers: [{name: c, image: "IMAGE:0.1", resources: {requests: {cpu: "1000"}}}]}
`

// TestPodsThatTheirNodeCantTakeFail: whoever binds a pod without the scheduler gets kubelet's answer, and a controller that
// replaces what failed succeeds when there is room.
func TestPodsThatTheirNodeCantTakeFail(t *testing.T) {
	ensureStarted(t)
	namespace(t, "bound")
	node := jsonpath(t, "{.items[0].metadata.name}", "nodes")
	manifest := strings.ReplaceAll(bound, "NODE", node)
	first, rest, _ := strings.Cut(manifest, "---\n")
	kubectl(t, "apply", "-f", file(t, "first.yaml", first))
	kubectl(t, "wait", "pod/first", "--for=condition=Ready", "--timeout=2m")
	kubectl(t, "apply", "-f", file(t, "rest.yaml", rest))
	kubectl(t, "wait", "pod/large", "--for=jsonpath={.status.reason}=OutOfcpu", "--timeout=1m")
	eventually(t, time.Minute, func() string {
		if events := kubectl(t, "get", "events", "--field-selector=reason=NodePorts", "-o", "name"); events == "" {
			return "no event says that the port is taken"
		}
		return ""
	})
	if left := containers(t, "io.kubernetes.pod.namespace=bound", "io.kubernetes.pod.name=large"); left != "" {
		t.Errorf("containers of a pod that was rejected:\n%s", left)
	}
	kubectl(t, "delete", "pod/first")
	kubectl(t, "rollout", "status", "statefulset/second", "--timeout=2m")
}
