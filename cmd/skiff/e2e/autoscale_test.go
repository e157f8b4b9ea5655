package e2e

import (
	"strings"
	"testing"
)

// The load is small, so that a busy machine can still give it: ten times the request, and a tenth of a core at most.
const busy = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: busy}
spec:
  selector: {matchLabels: {app: busy}}
  template:
    metadata: {labels: {app: busy}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: c
          image: IMAGE:0.1
          command: [sh, -c, "while :; do i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; sleep 0.05; done"]
          resources: {requests: {cpu: 5m}, limits: {cpu: 100m}}
`

func TestAnAutoscalerFollowsTheEnginesFigures(t *testing.T) {
	ensureStarted(t)
	namespace(t, "autoscale")
	kubectl(t, "apply", "-f", file(t, "busy.yaml", busy))
	kubectl(t, "autoscale", "deployment", "busy", "--cpu-percent=80", "--min=1", "--max=3")
	kubectl(t, "rollout", "status", "deployment/busy", "--timeout=90s")
	if r := try(t, shared.kubectl, "top", "nodes"); strings.Contains(r.errOut, "without cgroups") {
		eventuallyPrints(t, "runs without cgroups", "get", "events", "--field-selector=reason=FailedGetResourceMetric")
		return
	}
	kubectl(t, "wait", "deployment/busy", "--for=jsonpath={.status.readyReplicas}=3", "--timeout=3m")
	eventuallyPrints(t, "cpu resource utilization (percentage of request) above target", "get", "events", "--field-selector=reason=SuccessfulRescale")
	eventuallyPrints(t, "busy-", "top", "pods", "--no-headers")
}
