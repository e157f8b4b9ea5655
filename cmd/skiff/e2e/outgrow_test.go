package e2e

import (
	"encoding/json"
	"io"
	"log"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

const outgrowing = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      terminationGracePeriodSeconds: 1
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
      containers:
      - name: web
        image: IMAGE:out
        imagePullPolicy: Always
        volumeMounts: [{name: data, mountPath: /data}]
        readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec:
  type: NodePort
  selector: {app: shop}
  ports: [{port: 80}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  storageClassName: fast
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
`

// The other cluster is a second profile, whose pods pull from a real registry what skiff pushed there.
func TestManifestsOutgrowTheLaptop(t *testing.T) {
	ensureStarted(t)
	far := shared.profile + "-far"
	t.Cleanup(func() {
		c := exec.Command(shared.bin, "-p", far, "delete", "--yes")
		c.Env = shared.env
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("delete the other cluster: %v: %s", err, out)
		}
	})
	skiff(t, "-p", far, "start", "--keep-context")
	context := "skiff-" + far

	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	address := strings.Replace(strings.TrimPrefix(server.URL, "http://"), "127.0.0.1", "localhost", 1)
	build := t.TempDir()
	save(t, filepath.Join(build, "Dockerfile"), "FROM "+shared.image+":0.1\nLABEL outgrown=true\n")
	buildImage(t, shared.image+":out", build)
	manifests := file(t, "shop.yaml", outgrowing)
	dir := filepath.Dir(manifests)

	r := try(t, shared.bin, "outgrow", "--context", context, "--check", "-o", "json", dir)
	var findings []struct{ Severity, Object, File, What string }
	if err := json.Unmarshal([]byte(r.out), &findings); err != nil || r.code != 10 {
		t.Fatalf("%v: %s", err, r)
	}
	for _, want := range []struct{ severity, object, what string }{
		{"breaks", "PersistentVolumeClaim data", "no storage class fast (it has standard)"},
		{"breaks", "Deployment shop", shared.image + ":out"},
		{"differs", "Service shop", "NodePort"},
		{"advice", "Deployment shop", "requests"},
	} {
		found := false
		for _, f := range findings {
			found = found || f.Severity == want.severity && f.Object == want.object && strings.Contains(f.What, want.what) && strings.HasSuffix(f.File, "shop.yaml")
		}
		if !found {
			t.Errorf("no finding %v in %s", want, r)
		}
	}

	r = try(t, shared.bin, "outgrow", "--context", context, "--yes", "--registry", address+"/team", dir)
	if r.code != 10 || !strings.Contains(r.errOut, "nothing was changed: 1 of these would break on "+context) {
		t.Errorf("with a storage class that isn't there: %s", r)
	}
	edit(t, manifests, "storageClassName: fast", "storageClassName: standard")
	r = try(t, shared.bin, "outgrow", "--context", context, "--registry", address+"/team", dir)
	if r.code != 2 || !strings.Contains(r.errOut, "--yes") {
		t.Errorf("nobody could be asked: %s", r)
	}
	if r := try(t, shared.kubectl, "--context", context, "get", "deployment", "shop"); r.code == 0 {
		t.Errorf("what was refused is there: %s", r)
	}

	pushed := address + "/team/" + shared.image + ":out"
	shared.built = append(shared.built, pushed)
	r = try(t, shared.bin, "outgrow", "--context", context, "--yes", "--registry", address+"/team", dir)
	if r.code != 0 || !strings.Contains(r.errOut, "pushing "+shared.image+":out as "+pushed) {
		t.Fatalf("%s", r)
	}
	kubectl(t, "--context", context, "rollout", "status", "deployment/shop", "--timeout=90s")
	if image := jsonpath(t, "{.spec.template.spec.containers[0].image}", "deployment/shop", "--context", context); image != pushed {
		t.Errorf("the other cluster runs %s, want %s", image, pushed)
	}
	if events := kubectl(t, "--context", context, "get", "events"); !strings.Contains(events, `Successfully pulled image "`+pushed) {
		t.Errorf("no pod pulled from the registry:\n%s", events)
	}
	// The manifests are what they were.
	if r := try(t, shared.bin, "outgrow", "--context", "skiff-"+shared.profile, dir); r.code != 2 || !strings.Contains(r.errOut, "outgrow to where?") {
		t.Errorf("outgrown to itself: %s", r)
	}
	server.Close()
	r = try(t, shared.bin, "outgrow", "--context", context, "--yes", "--registry", address+"/team", dir)
	if r.code != 1 || !strings.Contains(r.errOut, "push "+pushed) || !strings.Contains(r.errOut, "docker login "+address) {
		t.Errorf("a registry that is gone: %s", r)
	}
}
