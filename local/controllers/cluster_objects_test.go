package controllers_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"slices"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

func testEndpoints(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	_, err := c.client.CoreV1().Services(ns).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{})
	check(t, err)
	_, err = c.client.AppsV1().Deployments(ns).Create(t.Context(), deployment("web", 3), metav1.CreateOptions{})
	check(t, err)
	eventually(t, "three endpoints", func() (bool, string) {
		slices, err := c.client.DiscoveryV1().EndpointSlices(ns).List(t.Context(), metav1.ListOptions{})
		check(t, err)
		ready := 0
		for _, s := range slices.Items {
			for _, e := range s.Endpoints {
				if e.Conditions.Ready != nil && *e.Conditions.Ready {
					ready++
				}
			}
		}
		old, err := c.client.CoreV1().Endpoints(ns).Get(t.Context(), "web", metav1.GetOptions{})
		return ready == 3 && err == nil && len(old.Subsets) == 1 && len(old.Subsets[0].Addresses) == 3, fmt.Sprint(ready, " ", err)
	})
}

func testCertificate(t *testing.T, c *cluster) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "jane", Organization: []string{"developers"}}}, key)
	check(t, err)
	csrs := c.client.CertificatesV1().CertificateSigningRequests()
	csr, err := csrs.Create(t.Context(), &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "jane-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), SignerName: certificatesv1.KubeAPIServerClientSignerName,
			Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
		},
	}, metav1.CreateOptions{})
	check(t, err)
	csr.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Test"}}
	_, err = csrs.UpdateApproval(t.Context(), csr.Name, csr, metav1.UpdateOptions{})
	check(t, err)
	eventually(t, "a certificate", func() (bool, string) {
		got, err := csrs.Get(t.Context(), csr.Name, metav1.GetOptions{})
		return err == nil && len(got.Status.Certificate) > 0, fmt.Sprint(err)
	})
}

func testTokenSecret(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	_, err := c.client.CoreV1().Secrets(ns).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "token", Annotations: map[string]string{corev1.ServiceAccountNameKey: "default"}},
		Type:       corev1.SecretTypeServiceAccountToken,
	}, metav1.CreateOptions{})
	check(t, err)
	eventually(t, "the Secret to hold a token and the CA", func() (bool, string) {
		s, err := c.client.CoreV1().Secrets(ns).Get(t.Context(), "token", metav1.GetOptions{})
		return err == nil && len(s.Data["token"]) > 0 && len(s.Data["ca.crt"]) > 0, fmt.Sprint(err)
	})
	if _, err := c.client.CoreV1().ConfigMaps(ns).Get(t.Context(), "kube-root-ca.crt", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

func testAggregatedRole(t *testing.T, c *cluster) {
	roles := c.client.RbacV1().ClusterRoles()
	label := map[string]string{"test/aggregate": "yes"}
	_, err := roles.Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta:      metav1.ObjectMeta{Name: "whole"},
		AggregationRule: &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: label}}},
	}, metav1.CreateOptions{})
	check(t, err)
	_, err = roles.Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "part", Labels: label},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}}},
	}, metav1.CreateOptions{})
	check(t, err)
	eventually(t, "the aggregate to have the part's rule", func() (bool, string) {
		r, err := roles.Get(t.Context(), "whole", metav1.GetOptions{})
		return err == nil && len(r.Rules) == 1, fmt.Sprint(err)
	})
}

func testAdmissionPolicy(t *testing.T, c *cluster) {
	policies := c.client.AdmissionregistrationV1().ValidatingAdmissionPolicies()
	policy, err := policies.Create(t.Context(), &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "mistyped-"},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"}},
			}}}},
			Validations: []admissionv1.Validation{{Expression: "object.spec.replicas > '5'"}},
		},
	}, metav1.CreateOptions{})
	check(t, err)
	eventually(t, "a warning about the comparison", func() (bool, string) {
		got, err := policies.Get(t.Context(), policy.Name, metav1.GetOptions{})
		check(t, err)
		return got.Status.TypeChecking != nil && len(got.Status.TypeChecking.ExpressionWarnings) == 1, fmt.Sprintf("%+v", got.Status)
	})
}

// testCustomGarbage sees that the garbage collector notices a new kind at once and not at the next look at discovery.
func testCustomGarbage(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	dyn, err := dynamic.NewForConfig(dynamic.ConfigFor(c.rest))
	check(t, err)
	crds := dyn.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	_, err = crds.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "boats.test.skiff.local"},
		"spec": map[string]any{
			"group": "test.skiff.local", "scope": "Namespaced",
			"names": map[string]any{"plural": "boats", "singular": "boat", "kind": "Boat"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}},
		},
	}}, metav1.CreateOptions{})
	check(t, err)
	boats := dyn.Resource(schema.GroupVersionResource{Group: "test.skiff.local", Version: "v1", Resource: "boats"}).Namespace(ns)
	var owner *unstructured.Unstructured
	boat := func(name string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "test.skiff.local/v1", "kind": "Boat", "metadata": map[string]any{"name": name}}}
	}
	eventually(t, "a boat to be made", func() (bool, string) {
		owner, err = boats.Create(t.Context(), boat("owner"), metav1.CreateOptions{})
		return err == nil, fmt.Sprint(err)
	})
	dinghy := boat("dinghy")
	dinghy.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "test.skiff.local/v1", Kind: "Boat", Name: "owner", UID: owner.GetUID()}})
	_, err = boats.Create(t.Context(), dinghy, metav1.CreateOptions{})
	check(t, err)
	begin := time.Now()
	check(t, boats.Delete(t.Context(), "owner", metav1.DeleteOptions{}))
	eventually(t, "the dinghy to follow its owner", func() (bool, string) {
		list, err := boats.List(t.Context(), metav1.ListOptions{})
		check(t, err)
		return !slices.ContainsFunc(list.Items, func(u unstructured.Unstructured) bool { return u.GetName() == "dinghy" }), ""
	})
	t.Logf("an object of a kind that was new was collected after %s", time.Since(begin).Round(time.Millisecond))
	if err := crds.Delete(t.Context(), "boats.test.skiff.local", metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		t.Error(err)
	}
}
