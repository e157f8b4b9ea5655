package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// web is a pod that answers with its name on a port that is named http.
func web(name, app string, port int, more string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, labels: {app: %[2]s}}
spec:
  terminationGracePeriodSeconds: 60
  containers:
  - name: web
    image: IMAGE:0.1
    command: [sh, -c, "mkdir /tmp/w && echo I am %[1]s > /tmp/w/index.html && exec httpd -f -p %[3]d -h /tmp/w"]
    ports: [{name: http, containerPort: %[3]d}]
    readinessProbe: {tcpSocket: {port: http}, periodSeconds: 1}
%[4]s---
`, name, app, port, more)
}

func nodePortService(name, app, more string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Service, metadata: {name: %s}, spec: {type: NodePort, selector: {app: %s}, ports: [{port: 80, targetPort: http}]%s}}\n---\n", name, app, more)
}

// Which pods a Service's connections go to, on localhost and in the cluster.
func TestServicesChooseTheirEndpoints(t *testing.T) {
	ensureStarted(t)
	namespace(t, "choice")
	const never, slowly = "    startupProbe: {exec: {command: [\"false\"]}, failureThreshold: 1000}\n", "    lifecycle: {preStop: {sleep: {seconds: 45}}}\n"
	kubectl(t, "create", "-f", file(t, "choice.yaml", web("first", "named", 8001, "")+web("second", "named", 8002, "")+
		web("starting", "starting", 8003, never)+web("leaving", "leaving", 8004, slowly)+
		nodePortService("named", "named", "")+nodePortService("ready", "starting", "")+
		nodePortService("unready", "starting", ", publishNotReadyAddresses: true")+nodePortService("leaving", "leaving", "")+
		"{apiVersion: v1, kind: Service, metadata: {name: self}, spec: {selector: {app: leaving}, ports: [{port: 80, targetPort: http}]}}"))
	kubectl(t, "wait", "pod/first", "pod/second", "pod/leaving", "--for=condition=Ready", "--timeout=90s")
	kubectl(t, "wait", "pod/starting", "--for=jsonpath={.status.phase}=Running", "--timeout=90s")

	localhost := func(service string) func() string {
		url := nodePortURL(t, service)
		return func() string {
			body, err := page(url)
			if err != nil {
				return err.Error()
			}
			return strings.TrimSpace(body)
		}
	}
	from := func(pod, service string) func() string {
		return func() string {
			r := try(t, shared.kubectl, "exec", pod, "--", "fetch", "http://"+service+"/")
			return strings.TrimSpace(r.out + r.errOut)
		}
	}
	reaches := func(ask func() string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			eventually(t, slow, func() string {
				if got := ask(); got != "I am "+want {
					return fmt.Sprintf("%q, want the pod %s", got, want)
				}
				return ""
			})
		}
	}
	onlyReaches := func(ask func() string, want string) {
		t.Helper()
		for range 6 {
			if got := ask(); got != "I am "+want {
				t.Errorf("%q, want the pod %s alone", got, want)
			}
		}
	}

	// A named port is another number in each pod.
	reaches(localhost("named"), "first", "second")
	reaches(from("leaving", "named"), "first", "second")
	// A pod through its own Service.
	reaches(from("leaving", "self"), "leaving")
	// A pod that is not ready, for those who want it.
	reaches(localhost("unready"), "starting")
	reaches(from("first", "unready"), "starting")
	for _, got := range []string{localhost("ready")(), from("first", "ready")()} {
		if strings.Contains(got, "I am") {
			t.Errorf("a pod that is not ready was reached: %q", got)
		}
	}
	// A pod on its way out, while there is no other.
	kubectl(t, "delete", "pod", "leaving", "--wait=false")
	eventuallyPrints(t, "true", "get", "endpointslices", "-l", "kubernetes.io/service-name=leaving", "-o", "jsonpath={.items[*].endpoints[*].conditions.terminating}")
	onlyReaches(localhost("leaving"), "leaving")
	onlyReaches(from("first", "leaving"), "leaving")
	kubectl(t, "create", "-f", file(t, "staying.yaml", web("staying", "leaving", 8005, "")))
	reaches(localhost("leaving"), "staying")
	onlyReaches(localhost("leaving"), "staying")
	onlyReaches(from("first", "leaving"), "staying")
	kubectl(t, "delete", "pods", "--all", "--grace-period=1", "--wait=false")
}
