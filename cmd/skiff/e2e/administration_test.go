package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// What an administrator types, as far as it needs more than the API server: containers, controllers, signers. The rest is
// in local/apiserver/kubectl_test.go.

func TestPruningFollowsTheManifests(t *testing.T) {
	ensureStarted(t)
	namespace(t, "prune")
	maps := func(names ...string) string {
		var out strings.Builder
		for _, n := range names {
			fmt.Fprintf(&out, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, labels: {set: mine}}\n", n)
		}
		return out.String()
	}
	apply := func(manifest, want string, more ...string) {
		t.Helper()
		r := tryIn(t, manifest, []string{"KUBECTL_APPLYSET=true"}, shared.kubectl, append([]string{"apply", "-f", "-", "--prune"}, more...)...)
		if r.code != 0 || !strings.Contains(r.out, want) {
			t.Errorf("want %q: %s", want, r)
		}
	}
	kubectl(t, "create", "configmap", "bystander")
	for _, how := range [][]string{{"-l", "set=mine"}, {"--applyset=mine", "-n", "prune"}} {
		apply(maps("a", "b"), "configmap/b created", how...)
		apply(maps("a"), "configmap/b pruned", how...)
		kubectl(t, "delete", "configmap", "a")
	}
	kubectl(t, "get", "configmap", "bystander")
}

func TestWaitsAndWatchedEventsEnd(t *testing.T) {
	ensureStarted(t)
	namespace(t, "waits")
	var watched bytes.Buffer
	watch := exec.Command(shared.kubectl, "get", "events", "--watch", "-n", "waits")
	watch.Env = shared.env
	lines := &lockedWriter{to: &watched}
	watch.Stdout = lines
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	var ended sync.WaitGroup
	ended.Go(func() { _ = watch.Wait() })
	t.Cleanup(func() { _ = watch.Process.Kill(); ended.Wait() })

	coming := make(chan result, 1)
	go func() { coming <- try(t, shared.kubectl, "wait", "--for=create", "pod/web", "--timeout=90s") }()
	kubectl(t, "run", "web", "--image="+shared.image+":0.1")
	if r := <-coming; r.code != 0 {
		t.Errorf("a wait for a pod that is created: %s", r)
	}
	kubectl(t, "wait", "--for=condition=Ready", "pod/web", "--timeout=90s")
	kubectl(t, "wait", "--for=jsonpath={.status.phase}=Running", "pod/web", "--timeout=90s")
	if r := try(t, shared.kubectl, "wait", "--for=condition=Nonsense", "pod/web", "--timeout=1s"); r.code == 0 || !strings.Contains(r.errOut, "timed out waiting for the condition on pods/web") {
		t.Errorf("a wait for what never comes: %s", r)
	}
	for _, reason := range []string{"Scheduled", "Pulled", "Created", "Started"} {
		eventually(t, slow, func() string {
			if out := lines.String(); !strings.Contains(out, reason) {
				return fmt.Sprintf("no %s among the watched events:\n%s", reason, out)
			}
			return ""
		})
	}

	// An ephemeral container sees the processes of the one that it is aimed at.
	kubectl(t, "debug", "web", "--image="+shared.image+":0.1", "--target=web", "--container=look", "--profile=general", "--attach=false", "--", "sh", "-c", "ps; echo looked")
	eventuallyPrints(t, "looked", "logs", "web", "-c", "look")
	if out := kubectl(t, "logs", "web", "-c", "look"); !strings.Contains(out, "httpd") {
		t.Errorf("the ephemeral container does not see the server it is aimed at:\n%s", out)
	}
	kubectl(t, "debug", "web", "--copy-to=copy", "--same-node", "--image="+shared.image+":0.2", "--container=again", "--profile=general", "--attach=false", "--", "sh", "-c", "echo copied; sleep 1000")
	eventuallyPrints(t, "copied", "logs", "copy", "-c", "again")

	gone := make(chan result, 1)
	go func() { gone <- try(t, shared.kubectl, "wait", "--for=delete", "pod/web", "--timeout=90s") }()
	kubectl(t, "delete", "pod", "web", "copy", "--grace-period=1")
	if r := <-gone; r.code != 0 {
		t.Errorf("a wait for a pod that is deleted: %s", r)
	}
}

func TestAPersonGetsACertificateAndRights(t *testing.T) {
	ensureStarted(t)
	namespace(t, "people")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "jane", Organization: []string{"developers"}}}, key)
	if err != nil {
		t.Fatal(err)
	}
	encoded := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}))
	csr := fmt.Sprintf("apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata: {name: jane}\nspec: {request: %s, signerName: kubernetes.io/kube-apiserver-client, usages: [client auth], expirationSeconds: 3600}\n", encoded)
	kubectl(t, "apply", "-f", file(t, "csr.yaml", csr))
	t.Cleanup(func() {
		c := exec.Command(shared.kubectl, "delete", "csr", "jane", "--ignore-not-found")
		c.Env = shared.env
		_ = c.Run()
	})
	kubectl(t, "certificate", "approve", "jane")
	kubectl(t, "wait", "csr/jane", "--for=jsonpath={.status.certificate}", "--timeout=30s")
	eventuallyPrints(t, "Approved,Issued", "get", "csr", "jane")
	cert, err := base64.StdEncoding.DecodeString(jsonpath(t, "{.status.certificate}", "csr", "jane"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"ca.crt": []byte(jsonpath(t, `{.data.ca\.crt}`, "configmap", "kube-root-ca.crt")), "jane.crt": cert,
		"jane.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := []string{"--kubeconfig=/dev/null", "--server=" + readStatus(t).API.URL, "--certificate-authority=" + filepath.Join(dir, "ca.crt"), "-n", "people"}
	as := func(credentials []string, args ...string) result {
		t.Helper()
		return try(t, shared.kubectl, append(append(append([]string{}, server...), credentials...), args...)...)
	}
	jane := []string{"--client-certificate=" + filepath.Join(dir, "jane.crt"), "--client-key=" + filepath.Join(dir, "jane.key")}
	if r := as(jane, "get", "pods"); r.code == 0 || !strings.Contains(r.errOut, `User "jane" cannot list resource "pods"`) {
		t.Errorf("jane without rights: %s", r)
	}
	kubectl(t, "create", "rolebinding", "developers", "--clusterrole=edit", "--group=developers")
	eventually(t, slow, func() string {
		if r := as(jane, "get", "pods"); r.code != 0 {
			return r.String()
		}
		return ""
	})
	if r := as(jane, "auth", "can-i", "--list"); !strings.Contains(r.out, "deployments.apps") {
		t.Errorf("what jane may do: %s", r)
	}
	if r := as(jane, "get", "nodes"); r.code == 0 {
		t.Errorf("jane sees the nodes: %s", r)
	}

	kubectl(t, "create", "serviceaccount", "robot")
	robot := []string{"--token=" + strings.TrimSpace(kubectl(t, "create", "token", "robot", "--duration=15m"))}
	if r := as(robot, "auth", "whoami"); !strings.Contains(r.out, "system:serviceaccount:people:robot") {
		t.Errorf("whoami with the token: %s", r)
	}
	if r := as(robot, "get", "configmaps"); r.code == 0 || !strings.Contains(r.errOut, "Forbidden") {
		t.Errorf("a service account without a binding: %s", r)
	}
	kubectl(t, "delete", "serviceaccount", "robot")
	eventually(t, slow, func() string {
		if r := as(robot, "auth", "whoami"); r.code == 0 || !strings.Contains(r.errOut, "Unauthorized") {
			return "the token outlives its account: " + r.String()
		}
		return ""
	})
}

// lockedWriter can be read while a process writes to it.
type lockedWriter struct {
	mu sync.Mutex
	to *bytes.Buffer
}

func (w *lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}

func (w *lockedWriter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.String()
}
