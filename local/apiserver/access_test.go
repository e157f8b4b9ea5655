package apiserver

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
)

// stranger is a client without credentials that trusts the server.
func (c *testCluster) stranger(t *testing.T) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.cfg.PKI.CA.Cert)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
}

func TestStrangersReachHealthOnly(t *testing.T) {
	c := sharedCluster(t)
	for path, want := range map[string]int{
		"/healthz": 200, "/livez": 200, "/readyz": 200,
		"/version": 401, "/api": 401, "/apis": 401, "/openapi/v2": 401, "/metrics": 401, "/api/v1/namespaces": 401, "/skiff/status": 401,
	} {
		resp, err := c.stranger(t).Get(c.url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("GET %s without credentials: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

// as is a client with a token.
func (c *testCluster) as(t *testing.T, token string) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: c.url, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: c.cfg.PKI.CA.Cert}})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestServiceAccountMayDoWhatItIsBoundTo(t *testing.T) {
	c, ctx := sharedCluster(t), t.Context()
	ns := c.namespace(t)
	token, err := c.client.CoreV1().ServiceAccounts(ns).CreateToken(ctx, "default", &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](600)}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pods := c.as(t, token.Status.Token).CoreV1().Pods(ns)
	if _, err := pods.List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("list pods without a binding: %v, want 403", err)
	}
	_, err = c.client.RbacV1().Roles(ns).Create(ctx, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.client.RbacV1().RoleBindings(ns).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: ns, Name: "default"}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the binding counts", func() error {
		_, err := pods.List(ctx, metav1.ListOptions{})
		return err
	})
	if err := pods.Delete(ctx, "none", metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("delete a pod with the role reader: %v, want 403", err)
	}
	review, err := c.client.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token.Status.Token}}, metav1.CreateOptions{})
	if err != nil || !review.Status.Authenticated || review.Status.User.Username != "system:serviceaccount:"+ns+":default" {
		t.Errorf("review of the token: %+v, %v", review.Status, err)
	}
}

func TestTokenForAnotherAudienceIsRefused(t *testing.T) {
	c, ctx := sharedCluster(t), t.Context()
	ns := c.namespace(t)
	token, err := c.client.CoreV1().ServiceAccounts(ns).CreateToken(ctx, "default", &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"vault"}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.as(t, token.Status.Token).CoreV1().Pods(ns).List(ctx, metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("list pods with a token for vault: %v, want 401", err)
	}
}

func TestImpersonation(t *testing.T) {
	c := sharedCluster(t)
	code, _, body := c.do(t, "GET", "/api/v1/secrets", "", "Impersonate-User", "jane")
	if code != 403 || !strings.Contains(body, `User \"jane\" cannot list resource \"secrets\"`) {
		t.Errorf("list secrets as jane: %d %s", code, body)
	}
	if code, _, body = c.do(t, "GET", "/api/v1/secrets", "", "Impersonate-User", "jane", "Impersonate-Group", "system:masters"); code != 200 {
		t.Errorf("list secrets as jane of system:masters: %d %s", code, body)
	}
}

func TestExtraHandlersAreForAdministrators(t *testing.T) {
	c := sharedCluster(t)
	if code, _, body := c.do(t, "GET", "/skiff/v1/status", ""); code != 200 || body != "extra /skiff/v1/status" {
		t.Errorf("as administrator: %d %s", code, body)
	}
	// Roles can't open them: cluster-admin may get any other path.
	_, err := c.client.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "extra-test"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "joe"}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "joe is cluster-admin", func() error {
		if code, _, body := c.do(t, "GET", "/metrics", "", "Impersonate-User", "joe"); code != 200 {
			return apierrors.NewUnauthorized(body)
		}
		return nil
	})
	if code, _, body := c.do(t, "GET", "/skiff/v1/status", "", "Impersonate-User", "joe"); code != 403 {
		t.Errorf("as cluster-admin: %d %s, want 403", code, body)
	}
}

func TestIssuerIsDiscoverable(t *testing.T) {
	c := sharedCluster(t)
	_, _, body := c.do(t, "GET", "/.well-known/openid-configuration", "")
	for _, want := range []string{`"issuer":"https://kubernetes.default.svc.cluster.local"`, `"jwks_uri":"https://kubernetes.default.svc.cluster.local/openid/v1/jwks"`} {
		if !strings.Contains(body, want) {
			t.Errorf("OpenID configuration lacks %s: %s", want, body)
		}
	}
	if code, _, body := c.do(t, "GET", "/openid/v1/jwks", ""); code != 200 || !strings.Contains(body, `"alg":"ES256"`) {
		t.Errorf("keys: %d %s", code, body)
	}
}

func TestHealthNamesItsChecks(t *testing.T) {
	c := sharedCluster(t)
	for _, path := range []string{"/healthz", "/livez", "/readyz"} {
		resp, err := c.stranger(t).Get(c.url + path + "?verbose")
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || !strings.Contains(string(b), "[+]ping ok") || !strings.Contains(string(b), "[+]etcd ok") || !strings.Contains(string(b), "check passed") {
			t.Errorf("GET %s?verbose: %d %s", path, resp.StatusCode, b)
		}
	}
	if code, _, body := c.do(t, "GET", "/metrics", ""); code != 200 || !strings.Contains(body, "apiserver_request_total{") {
		t.Errorf("/metrics: %d, %d bytes without apiserver_request_total", code, len(body))
	}
	if code, _, body := c.do(t, "GET", "/version", ""); code != 200 || !strings.Contains(body, `"gitVersion": "v`+fallbackVersion+`"`) {
		t.Errorf("/version: %d %s", code, body)
	}
}
