package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"skiff.local/skiff/local/network/networktest/load"
	"skiff.local/skiff/local/network/networktest/probeimage"
	"skiff.local/skiff/runtime/runtimetest"
	"skiff.local/skiff/runtime/runtimetest/privateengine"
)

// probe loads the image of the network tests' probe.
func probe(t *testing.T) string {
	t.Helper()
	ref := "skiff.local/" + runtimetest.UniqueName("probe") + ":1"
	if _, err := probeimage.Load(t.Context(), runtimetest.Connect(t), ref); err != nil {
		t.Fatal(err)
	}
	shared.built = append(shared.built, ref) // its containers run until the end
	return ref
}

const rolledManifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: rolled}
spec:
  replicas: 2
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  selector: {matchLabels: {app: rolled}}
  template:
    metadata: {labels: {app: rolled}}
    spec:
      containers:
      - name: probe
        image: PROBE
        imagePullPolicy: Never
        command: [/probe, serve]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: rolled}
spec:
  type: NodePort
  selector: {app: rolled}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: rolled}
spec:
  rules:
  - host: rolled.localhost
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: rolled, port: {number: 80}}}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: visitor}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: probe, image: PROBE, imagePullPolicy: Never, command: [/probe, serve]}]
`

// A rolling update without any preStop sleep loses no request, whichever way it comes in, on connections that are kept and
// on new ones.
func TestRollingUpdatesLoseNoRequest(t *testing.T) {
	ensureStarted(t)
	namespace(t, "rolled")
	kubectl(t, "apply", "-f", file(t, "rolled.yaml", strings.ReplaceAll(rolledManifest, "PROBE", probe(t))))
	kubectl(t, "rollout", "status", "deployment/rolled", "--timeout=2m")
	kubectl(t, "wait", "pod/visitor", "--for=condition=Ready", "--timeout=2m")
	node := nodePortURL(t, "rolled")
	eventuallyServes(t, node, "")
	var port string
	eventually(t, slow, func() string {
		port = jsonpath(t, "{.status.loadBalancer.ingress[0].ports[0].port}", "ingress", "rolled")
		if port == "" && jsonpath(t, "{.status.loadBalancer.ingress}", "ingress", "rolled") == "" {
			return "the Ingress has no address"
		}
		return ""
	})
	if port == "" {
		port = "80"
	}

	// They rest, so that the load is a busy page and not all that two processors can do: a server that gets none of these for
	// longer than it is given can't accept what has reached it.
	const clients, pause = 50, 200 * time.Millisecond
	loading, stop := context.WithCancel(t.Context())
	results := map[string]load.Summary{}
	var mu sync.Mutex
	var loads sync.WaitGroup
	add := func(way string, s load.Summary) {
		mu.Lock()
		defer mu.Unlock()
		sum := results[way]
		sum.Requests, sum.Failed, sum.Failures = sum.Requests+s.Requests, sum.Failed+s.Failed, append(sum.Failures, s.Failures...)
		results[way] = sum
	}
	for way, o := range map[string]load.Options{
		"NodePort": {URL: node}, "Ingress": {URL: "http://127.0.0.1:" + port + "/", Host: "rolled.localhost"},
	} {
		o.Kept, o.Short, o.Pause = clients, clients, pause
		loads.Go(func() { add(way, load.Run(loading, o).Summary()) })
	}
	clusterIP := jsonpath(t, "{.spec.clusterIP}", "service", "rolled")
	var inside string
	loads.Go(func() {
		for loading.Err() == nil && inside == "" {
			r := try(t, shared.kubectl, "exec", "visitor", "--", "/probe", "load", "http://"+clusterIP+"/", fmt.Sprint(clients), fmt.Sprint(clients), "3s", pause.String())
			var s load.Summary
			if err := json.Unmarshal([]byte(r.out), &s); err != nil {
				inside = fmt.Sprintf("%v: %s", err, r)
			}
			add("ClusterIP", s)
		}
	})
	for i := range 3 {
		kubectl(t, "patch", "deployment", "rolled", "-p", fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"revision":"%d"}}}}}`, i))
		kubectl(t, "rollout", "status", "deployment/rolled", "--timeout=3m")
	}
	stop()
	loads.Wait()
	if inside != "" {
		t.Error(inside)
	}
	for _, way := range []string{"NodePort", "Ingress", "ClusterIP"} {
		s := results[way]
		if s.Failed > 0 || s.Requests < 100 {
			t.Errorf("%s: %d of %d requests failed:\n%s", way, s.Failed, s.Requests, strings.Join(s.Failures, "\n"))
		}
		t.Logf("%s: %d requests, %d failed", way, s.Requests, s.Failed)
	}
}

// `skiff port-forward` is one command for as long as the developer works: pods come and go behind it.
func TestPortForwardOutlivesItsPod(t *testing.T) {
	ensureStarted(t)
	namespace(t, "forwarded")
	kubectl(t, "create", "-f", file(t, "deployment.yaml", deployment("0.1", 1)))
	kubectl(t, "create", "-f", file(t, "svc.yaml", serviceManifest))
	kubectl(t, "rollout", "status", "deployment/k8s-demo-deployment", "--timeout=2m")
	urls := map[string]string{}
	for _, object := range []string{"deployment/k8s-demo-deployment", "service/k8s-demo-svc"} {
		urls[object] = keepForwarding(t, object)
		if _, err := page(urls[object]); err != nil {
			t.Fatalf("%s: %v", object, err)
		}
	}
	pod := strings.TrimSpace(kubectl(t, "get", "pods", "-o", "name"))
	kubectl(t, "delete", pod, "--grace-period=1")
	for _, url := range urls {
		eventuallyServes(t, url, "version 0.1")
	}
	if now := kubectl(t, "get", "pods", "-o", "name"); strings.Contains(now, pod) {
		t.Errorf("pod %s is still there: %s", pod, now)
	}
	// And an update, in which the old pod lives until the new one is ready.
	kubectl(t, "set", "image", "deployment/k8s-demo-deployment", "k8s-demo-pod="+shared.image+":0.2")
	for _, url := range urls {
		eventuallyServes(t, url, "version 0.2")
	}
}

var forwarding = regexp.MustCompile(`Forwarding from 127\.0\.0\.1:(\d+)`)

// keepForwarding starts `skiff port-forward` for port 80 and returns the URL; the command ends with the test.
func keepForwarding(t *testing.T, object string) string {
	t.Helper()
	c := exec.Command(shared.bin, "port-forward", object, ":80")
	c.Env = shared.env
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := forwarding.FindStringSubmatch(lines.Text()); m != nil {
			go func() {
				for lines.Scan() { // a full pipe would block it
				}
			}()
			return "http://127.0.0.1:" + m[1] + "/"
		}
	}
	t.Fatalf("port-forward %s ended without forwarding", object)
	return ""
}

// With an engine whose addresses can't be dialled from here, whose API comes over TCP, everything is where it always is; and
// comes back after the engine restarts.
func TestAnEngineFarAwayIsAsGood(t *testing.T) {
	needsEngine(t)
	private := privateengine.Start(t, privateengine.Options{})
	dir := t.TempDir()
	env := []string{
		"DOCKER_HOST=" + private.TCP(), "SKIFF_PROFILE=t-far", "SKIFF_HOME=" + filepath.Join(dir, "home"),
		"KUBECONFIG=" + filepath.Join(dir, "kubeconfig"),
	}
	run := func(args ...string) string {
		t.Helper()
		r := tryIn(t, "", env, shared.bin, args...)
		if r.code != 0 {
			t.Fatal(r)
		}
		return r.out
	}
	defer func() {
		c := exec.Command(shared.bin, "delete", "--yes")
		c.Env = append(append([]string{}, shared.env...), env...)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("delete: %v: %s", err, out)
		}
	}()
	run("start")
	run("apply", "-f", filepath.Join("..", "..", "..", "examples", "hello"))
	run("rollout", "status", "deployment/hello", "--timeout=2m")
	url := strings.Fields(run("service", "hello", "--url"))[0]
	eventuallyServes(t, url, "")
	private.Down()
	private.Up()
	eventuallyServes(t, url, "")
	run("rollout", "status", "deployment/hello", "--timeout=2m")
}

// A host port is on localhost for as long as the pod lives.
func TestAHostPortAnswersOnLocalhost(t *testing.T) {
	ensureStarted(t)
	namespace(t, "hosted")
	const port = 31999
	kubectl(t, "create", "-f", file(t, "pod.yaml", strings.Replace(podManifest, "containerPort: 80", fmt.Sprintf("containerPort: 80, hostPort: %d", port), 1)))
	url := fmt.Sprintf("http://127.0.0.1:%d/", port)
	eventuallyServes(t, url, "version 0.1")
	kubectl(t, "delete", "pod", "--all", "--grace-period=1")
	if body, err := page(url); err == nil {
		t.Errorf("the pod is gone and its host port answers %q", body)
	}
}
