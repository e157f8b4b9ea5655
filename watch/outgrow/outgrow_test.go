package outgrow

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"skiff.local/skiff/watch/manifest"
)

func TestCheck(t *testing.T) {
	const text = `apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  ports:
  - port: 80
    nodePort: 30080
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  ingressClassName: skiff
  rules: [{host: shop.localhost}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: db}
spec:
  storageClassName: standard
  accessModes: [ReadWriteMany]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      volumes:
      - name: src
        hostPath: {path: /home/me}
      containers:
      - name: main
        image: shop:dev
        imagePullPolicy: Never
        resources: {requests: {cpu: 1m}}
      - name: side
        image: nginx
        ports: [{containerPort: 80}]
---
apiVersion: apps/v1beta1
kind: Deployment
metadata: {name: old}
`
	facts := Facts{
		Cluster: "staging", Kinds: map[string]bool{"v1/Service": true, "networking.k8s.io/v1/Ingress": true, "v1/PersistentVolumeClaim": true, "apps/v1/Deployment": true},
		StorageClasses: map[string]bool{"gp3": true}, IngressClasses: map[string]bool{"nginx": false}, Architectures: map[string]bool{"arm64": true},
		Local: map[string]string{"shop:dev": "amd64"},
	}
	objects := manifest.Parse("k.yaml", []byte(text)).Objects
	list := func(facts Facts) string {
		var lines []string
		for _, f := range Check(objects, facts) {
			lines = append(lines, fmt.Sprintf("%s %s %s:%d: %s", f.Severity, f.Object, f.File, f.Line, f.What))
		}
		return strings.Join(lines, "\n")
	}
	want := `breaks Ingress web k.yaml:14: staging has no ingress class skiff (it has nginx)
breaks Ingress web k.yaml:15: shop.localhost means the visitor's own machine
breaks PersistentVolumeClaim db k.yaml:21: staging has no storage class standard (it has gp3)
breaks Deployment web k.yaml:35: only this machine has the image shop:dev
breaks Deployment web k.yaml:35: the image is built for amd64; the nodes there are not
breaks Deployment old k.yaml:43: staging does not serve apps/v1beta1 Deployment
differs Service web k.yaml:8: node port 30080 may be taken there: they are shared by the whole cluster
differs Service web k.yaml:5: a NodePort opens on every node there, not on localhost; firewalls usually close it
differs PersistentVolumeClaim db k.yaml:22: ReadWriteMany needs a file system that several nodes can mount; many clusters have none
differs Deployment web k.yaml:32: hostPath is the node's file system there, and often forbidden
advice Deployment web k.yaml:39: nginx may be another image on every node: the tag moves
advice Deployment web k.yaml:38: no resource requests: the scheduler there can't plan for it, and it is the first to be evicted
advice Deployment web k.yaml:38: no readiness probe: it gets requests before it can answer them`
	if diff := cmp.Diff(want, list(facts)); diff != "" {
		t.Errorf("unexpected findings (-want +got):\n%s", diff)
	}
	facts.Registry = "registry.example/team"
	if out := list(facts); strings.Contains(out, "only this machine") || !strings.Contains(out, "imagePullPolicy: Never keeps") {
		t.Errorf("with a registry:\n%s", out)
	}
	if out := list(Facts{Cluster: "x"}); strings.Contains(out, "breaks PersistentVolumeClaim") || strings.Contains(out, "does not serve") {
		t.Errorf("what isn't known was judged:\n%s", out)
	}
}

func TestPushed(t *testing.T) {
	for _, tc := range []struct{ image, want string }{
		{"app", "r.example/team/app:latest"}, {"app:dev", "r.example/team/app:dev"}, {"shop/web:1", "r.example/team/shop/web:1"},
		{"skiff.local/hello:1.0", "r.example/team/hello:1.0"},
	} {
		if got, err := Pushed(tc.image, "r.example/team/"); err != nil || got != tc.want {
			t.Errorf("Pushed(%s) = %s, %v, want %s", tc.image, got, err, tc.want)
		}
	}
	if _, err := Pushed("app", "Not A Registry"); err == nil {
		t.Error("an impossible registry was taken")
	}
}

func TestWhatARegistryKnows(t *testing.T) {
	const digest = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for _, tc := range []struct {
		image, digest string
		want          bool
	}{
		{"nginx:1", "nginx" + digest, true}, {"docker.io/library/nginx:2", "nginx" + digest, true},
		{"r.example/team/app:1", "r.example/team/app" + digest, true},
		{"app:dev", "r.example/team/app" + digest, false}, // pushed under another name: this one is still nowhere
	} {
		if got := Known(tc.image, []string{"other" + digest, tc.digest}); got != tc.want {
			t.Errorf("Known(%s, %s) = %v", tc.image, tc.digest, got)
		}
	}
	if Known("app", nil) {
		t.Error("an image without digests is known")
	}
}
