package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// operatorImage is testdata/operator on an empty root.
func operatorImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	goBinary(t, "testdata/operator", filepath.Join(dir, "operator"), ".")
	save(t, filepath.Join(dir, "Dockerfile"), "FROM scratch\nCOPY operator /operator\nUSER 65532\nENTRYPOINT [\"/operator\"]\n")
	buildImage(t, shared.image+":operator", dir)
	return shared.image + ":operator"
}

// webhookCertificate makes what cert-manager would: a certificate of its own authority for a Service.
func webhookCertificate(t *testing.T, host string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func site(name, owner, title string) string {
	return fmt.Sprintf("apiVersion: operator.skiff.local/v1\nkind: Site\nmetadata: {name: %s}\nspec: {owner: %s, title: %q}\n", name, owner, title)
}

func TestAnOperatorRunsInTheCluster(t *testing.T) {
	ensureStarted(t)
	image := operatorImage(t)
	namespace(t, "operator")
	cert, key := webhookCertificate(t, "site-operator.operator.svc")
	encode := base64.StdEncoding.EncodeToString
	raw, err := os.ReadFile("testdata/operator/deploy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	manifest := strings.NewReplacer("OPERATOR_IMAGE", image, "TLS_CERT", encode(cert), "TLS_KEY", encode(key)).Replace(string(raw))
	deploy := file(t, "deploy.yaml", manifest)
	t.Cleanup(func() {
		c := exec.Command(shared.kubectl, "delete", "crd/sites.operator.skiff.local", "validatingwebhookconfiguration/site-operator", "apiservice/v1.visits.skiff.local", "--ignore-not-found", "--wait=false")
		c.Env = shared.env
		_ = c.Run()
	})
	kubectl(t, "apply", "-f", deploy)
	kubectl(t, "rollout", "status", "deployment/site-operator", "--timeout=3m")

	apply := func(manifest string) result {
		t.Helper()
		return tryIn(t, manifest, nil, shared.kubectl, "apply", "-f", "-")
	}
	accepted := func(manifest, warning string) {
		t.Helper()
		if r := apply(manifest); r.code != 0 || !strings.Contains(r.errOut, warning) {
			t.Errorf("want it accepted, with the warning %q: %s", warning, r)
		}
	}
	refused := func(manifest, why string) {
		t.Helper()
		if r := apply(manifest); r.code == 0 || !strings.Contains(r.errOut, why) {
			t.Errorf("want it refused, with %q: %s", why, r)
		}
	}
	accepted(site("home", "ann", "Welcome"), "")
	kubectl(t, "wait", "--for=condition=Ready", "site/home", "--timeout=90s")
	if got := jsonpath(t, "{.data.title}", "configmap", "home"); got != "Welcome" {
		t.Errorf("the page of the site says %q", got)
	}

	accepted(site("loud", "bob", "WELCOME"), "there is no need to shout")
	refused(site("spaced", "bob", " x "), `admission webhook "sites.operator.skiff.local" denied the request: title " x " has spaces around it`)
	refused(site("home", "bob", "Welcome"), "the owner of a site never changes")
	refused(site("empty", "bob", ""), "spec.title in body should be at least 1 chars long")

	// What the operator owns comes back, and what belongs to nobody any more is collected.
	kubectl(t, "delete", "configmap", "home")
	eventuallyPrints(t, "Welcome", "get", "configmap", "home", "-o", "jsonpath={.data.title}")

	// Another replica takes over from a leader that goes.
	holder := func() string {
		pod, _, _ := strings.Cut(jsonpath(t, "{.spec.holderIdentity}", "lease", "site-operator"), "_")
		return pod
	}
	leader := holder()
	if by := jsonpath(t, "{.status.by}", "site", "home"); by != leader || leader == "" {
		t.Errorf("the site was published by %q while %q led", by, leader)
	}
	kubectl(t, "delete", "pod", leader, "--wait=false")
	eventually(t, slow, func() string {
		if now := holder(); now == "" || now == leader {
			return fmt.Sprintf("the leader was %s and is %q", leader, now)
		}
		return ""
	})
	kubectl(t, "rollout", "status", "deployment/site-operator", "--timeout=3m")
	accepted(site("home", "ann", "Welcome back"), "")
	eventuallyPrints(t, "Welcome back", "get", "configmap", "home", "-o", "jsonpath={.data.title}")

	// The daemon's end is not the operator's: it reconnects to the next one and leads on. That one dials no pod itself, as
	// where the engine is on another machine.
	visits := func() {
		t.Helper()
		kubectl(t, "wait", "apiservice/v1.visits.skiff.local", "--for=condition=Available", "--timeout=90s")
		if got := kubectl(t, "get", "--raw", "/apis/visits.skiff.local/v1/visits/mine"); !strings.Contains(got, `"user":"kubernetes-admin"`) {
			t.Errorf("the aggregated API answers %s", got)
		}
		eventuallyPrints(t, "visits.skiff.local/v1", "api-resources", "--cached=false")
	}
	visits()
	skiff(t, "stop", "--keep-pods")
	t.Cleanup(func() { restart(t, nil) })
	restart(t, []string{"SKIFF_DIAL=relay"})
	visits()
	refused(site("spaced", "bob", " x "), `title " x " has spaces around it`)
	kubectl(t, "delete", "site", "home", "--timeout=90s")
	if got := jsonpath(t, "{.data.home}", "configmap", "register"); got != "farewell, ann" {
		t.Errorf("the finalizer wrote %q", got)
	}
	eventually(t, slow, func() string {
		if r := try(t, shared.kubectl, "get", "configmap", "home"); r.code == 0 {
			return "the page outlives its site"
		}
		return ""
	})
	kubectl(t, "delete", "site", "loud", "--timeout=90s")
}
