package apiserver

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// testCluster is a running server with the administrator's clients, over TLS.
type testCluster struct {
	*Server
	admin   *rest.Config
	client  kubernetes.Interface
	dynamic dynamic.Interface
	http    *http.Client
	url     string

	mu       sync.Mutex
	services map[string]string // "name.namespace.svc:port" -> the address that really answers
}

var shared struct {
	once sync.Once
	dir  string
	*testCluster
	err error
}

// sharedCluster is one server for all tests of the package: each uses a namespace, or names, of its own.
func sharedCluster(t *testing.T) *testCluster {
	t.Helper()
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "apiserver-test-"); shared.err == nil {
			shared.testCluster, shared.err = startCluster(shared.dir)
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.testCluster
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.testCluster != nil {
		if err := shared.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the shared server:", err)
			code = 1
		}
	}
	os.RemoveAll(shared.dir)
	os.Exit(code)
}

func startCluster(dir string) (*testCluster, error) {
	c := &testCluster{services: map[string]string{}}
	s, err := makeServer(context.Background(), dir, false, func(cfg *Config) {
		cfg.Kubelet = http.HandlerFunc(fakeKubelet)
		cfg.Dial = c.dial
		cfg.Extra = map[string]http.Handler{"/skiff/": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "extra ", r.URL.Path) })}
	})
	if err != nil {
		return nil, err
	}
	c.Server = s
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Start(context.Background()); err != nil {
		return nil, err
	}
	if err := s.WaitReady(ctx); err != nil {
		return nil, err
	}
	c.url = "https://" + s.cfg.Listener.Addr().String()
	c.admin = &rest.Config{Host: c.url, QPS: -1, TLSClientConfig: rest.TLSClientConfig{
		CAData: s.cfg.PKI.CA.Cert, CertData: s.cfg.PKI.Admin.Cert, KeyData: s.cfg.PKI.Admin.Key,
	}}
	if c.client, err = kubernetes.NewForConfig(c.admin); err != nil {
		return nil, err
	}
	if c.dynamic, err = dynamic.NewForConfig(c.admin); err != nil {
		return nil, err
	}
	c.http, err = rest.HTTPClientFor(c.admin)
	return c, err
}

// dial reaches the Services that tests have put up.
func (c *testCluster) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c.mu.Lock()
	to, ok := c.services[address]
	c.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("the test has no service at %s", address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, to)
}

// namespace makes a namespace for one test.
func (c *testCluster) namespace(t *testing.T) string {
	t.Helper()
	name := strings.NewReplacer("_", "-", "/", "-").Replace(strings.ToLower(t.Name()))
	if len(name) > 63 {
		name = name[:63]
	}
	for _, create := range []func() error{
		func() error {
			_, err := c.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
			return err
		},
		func() error {
			_, err := c.client.CoreV1().ServiceAccounts(name).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
			return err
		},
	} {
		if err := create(); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	return name
}

// kubeconfig writes the administrator's kubeconfig.
func (c *testCluster) kubeconfig(t *testing.T) string {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: c.url, CertificateAuthorityData: c.cfg.PKI.CA.Cert}
	config.AuthInfos["admin"] = &clientcmdapi.AuthInfo{ClientCertificateData: c.cfg.PKI.Admin.Cert, ClientKeyData: c.cfg.PKI.Admin.Key}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "admin"}
	config.CurrentContext = "test"
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// do sends a request as the administrator and returns the answer's status, headers and body.
func (c *testCluster) do(t *testing.T, method, path, body string, headers ...string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if body != "" && r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

// eventually waits until f succeeds.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s: %v", what, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// serve makes the dialer reach to where it is asked for address.
func (c *testCluster) serve(address, to string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.services[address] = to
}

func quantity(t *testing.T, s string) *resource.Quantity {
	t.Helper()
	q, err := resource.ParseQuantity(s)
	if err != nil {
		t.Fatal(err)
	}
	return &q
}

// doAnyway is do for cleaning up, when the test's context has ended.
func (c *testCluster) doAnyway(t *testing.T, method, path string) (int, http.Header, string) {
	r, err := http.NewRequest(method, c.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(b)
}
