package apiserver

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// review answers AdmissionReviews with what decide says.
func review(decide func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var rev admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&rev); err != nil {
			http.Error(w, err.Error(), 400)
			return
		}
		rev.Response = decide(rev.Request)
		rev.Response.UID, rev.Request = rev.Request.UID, nil
		_ = json.NewEncoder(w).Encode(rev)
	})
}

// webhook registers a webhook for ConfigMaps of one namespace, served by the Service hook in it.
func (c *testCluster) webhook(t *testing.T, kind, namespace string, ca []byte) {
	t.Helper()
	plural := strings.ToLower(kind) + "webhookconfigurations"
	config := `{"apiVersion":"admissionregistration.k8s.io/v1","kind":"` + kind + `WebhookConfiguration","metadata":{"name":"` + namespace + `"},"webhooks":[{"name":"hook.example.com","sideEffects":"None","admissionReviewVersions":["v1"],
"clientConfig":{"caBundle":"` + base64.StdEncoding.EncodeToString(ca) + `","service":{"namespace":"` + namespace + `","name":"hook","path":"/"}},
"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"` + namespace + `"}},
"rules":[{"operations":["CREATE"],"apiGroups":[""],"apiVersions":["v1"],"resources":["configmaps"]}]}]}`
	path := "/apis/admissionregistration.k8s.io/v1/" + plural
	if code, _, body := c.do(t, "POST", path, config); code != 201 {
		t.Fatal(code, body)
	}
	t.Cleanup(func() { c.doAnyway(t, "DELETE", path+"/"+namespace) })
}

func TestWebhooksAreServedFromInsideTheCluster(t *testing.T) {
	c := sharedCluster(t)
	for _, hook := range []struct {
		kind   string
		decide func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse
		check  func(*corev1.ConfigMap, error) error
	}{
		{
			"Mutating",
			func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
				return &admissionv1.AdmissionResponse{Allowed: true, PatchType: ptr.To(admissionv1.PatchTypeJSONPatch), Patch: []byte(`[{"op":"add","path":"/data","value":{"by":"webhook"}}]`)}
			},
			func(cm *corev1.ConfigMap, err error) error {
				if err != nil || cm.Data["by"] != "webhook" {
					return fmt.Errorf("created %v, %v", cm, err)
				}
				return nil
			},
		},
		{
			"Validating",
			func(r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
				return &admissionv1.AdmissionResponse{Allowed: false, Warnings: []string{"careful"}, Result: &metav1.Status{Message: "not on a " + r.Kind.Kind, Code: 418}}
			},
			func(_ *corev1.ConfigMap, err error) error {
				if err == nil || !strings.Contains(err.Error(), `admission webhook "hook.example.com" denied the request: not on a ConfigMap`) {
					return fmt.Errorf("creating gave %v", err)
				}
				return nil
			},
		},
	} {
		t.Run(hook.kind, func(t *testing.T) {
			ns := c.namespace(t)
			c.webhook(t, hook.kind, ns, c.serveTLS(t, ns, "hook", review(hook.decide)))
			eventually(t, "the webhook is asked", func() error {
				cm, err := c.client.CoreV1().ConfigMaps(ns).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "x"}}, metav1.CreateOptions{})
				return hook.check(cm, err)
			})
		})
	}
}

func TestAWebhookThatCannotBeReachedFailsTheRequest(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	c.webhook(t, "Validating", ns, nil)
	eventually(t, "the webhook is asked in vain", func() error {
		_, err := c.client.CoreV1().ConfigMaps(ns).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "x"}}, metav1.CreateOptions{})
		if err == nil || !strings.Contains(err.Error(), `failed calling webhook "hook.example.com"`) || !strings.Contains(err.Error(), "hook."+ns+".svc:443") {
			return fmt.Errorf("creating gave %v", err)
		}
		return nil
	})
}

func TestAdmissionPolicies(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	const group = "/apis/admissionregistration.k8s.io/v1/"
	match := `"matchConstraints":{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"` + ns + `"}},"resourceRules":[{"operations":["CREATE"],"apiGroups":[""],"apiVersions":["v1"],"resources":["configmaps"]}]}`
	for path, object := range map[string]string{
		"mutatingadmissionpolicies":         `{"kind":"MutatingAdmissionPolicy","metadata":{"name":"p"},"spec":{` + match + `,"reinvocationPolicy":"Never","mutations":[{"patchType":"ApplyConfiguration","applyConfiguration":{"expression":"Object{data: {\"by\": \"policy\"}}"}}]}}`,
		"mutatingadmissionpolicybindings":   `{"kind":"MutatingAdmissionPolicyBinding","metadata":{"name":"p"},"spec":{"policyName":"p"}}`,
		"validatingadmissionpolicies":       `{"kind":"ValidatingAdmissionPolicy","metadata":{"name":"p"},"spec":{` + match + `,"validations":[{"expression":"!has(object.data.bad)","message":"nothing bad"}]}}`,
		"validatingadmissionpolicybindings": `{"kind":"ValidatingAdmissionPolicyBinding","metadata":{"name":"p"},"spec":{"policyName":"p","validationActions":["Deny"]}}`,
	} {
		if code, _, body := c.do(t, "POST", group+path, `{"apiVersion":"admissionregistration.k8s.io/v1",`+object[1:]); code != 201 {
			t.Fatal(path, code, body)
		}
		t.Cleanup(func() { c.doAnyway(t, "DELETE", group+path+"/p") })
	}
	create := func(data map[string]string) (*corev1.ConfigMap, error) {
		return c.client.CoreV1().ConfigMaps(ns).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "x"}, Data: data}, metav1.CreateOptions{})
	}
	eventually(t, "the mutating policy applies", func() error {
		cm, err := create(map[string]string{"a": "b"})
		if err != nil || cm.Data["by"] != "policy" {
			return fmt.Errorf("created %v, %v", cm, err)
		}
		return nil
	})
	eventually(t, "the validating policy applies", func() error {
		if _, err := create(map[string]string{"bad": "yes"}); err == nil || !strings.Contains(err.Error(), "ValidatingAdmissionPolicy 'p' with binding 'p' denied request: nothing bad") {
			return fmt.Errorf("creating gave %v", err)
		}
		return nil
	})
}
