package apiserver

import (
	"io"
	"net/http"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// metrics-server and Prometheus ask the address of a node, on the kubelet's port, with the token of a ServiceAccount.
func TestNodesAreScrapedAtTheirAddress(t *testing.T) {
	c, ctx := sharedCluster(t), t.Context()
	ns := c.namespace(t)
	token, err := c.client.CoreV1().ServiceAccounts(ns).CreateToken(ctx, "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, host, path, token string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, method, c.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := c.stranger(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	const node, resource = "10.244.127.254:10250", "/metrics/resource"
	if code, _ := ask("GET", node, resource, token.Status.Token); code != http.StatusForbidden {
		t.Errorf("without a role: %d, want 403", code)
	}
	role := metav1.ObjectMeta{Name: ns + "-scraper"}
	_, err = c.client.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{
		ObjectMeta: role, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"nodes/metrics"}, Verbs: []string{"get"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: role, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: ns, Name: "default"}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	code, body := 0, ""
	for deadline := time.Now().Add(20 * time.Second); code != http.StatusOK && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		code, body = ask("GET", node, resource, token.Status.Token)
	}
	if want := "kubelet of " + node + ": GET " + resource; code != http.StatusOK || body != want {
		t.Errorf("with the role for nodes/metrics: %d %q, want %q", code, body, want)
	}
	for _, test := range []struct {
		method, host, path, token string
		want                      int
	}{
		{"GET", node, resource, "", http.StatusUnauthorized},
		{"GET", node, "/stats/summary", token.Status.Token, http.StatusForbidden},
		{"GET", node, "/exec/" + ns + "/p/c?command=id", token.Status.Token, http.StatusNotFound},
		{"POST", node, resource, token.Status.Token, http.StatusNotFound},
		{"GET", "10.244.127.254:6443", resource, token.Status.Token, http.StatusForbidden},
	} {
		if code, body := ask(test.method, test.host, test.path, test.token); code != test.want {
			t.Errorf("%s %s%s: %d %s, want %d", test.method, test.host, test.path, code, body, test.want)
		}
	}
}
