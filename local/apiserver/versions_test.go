package apiserver

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestDiscovery(t *testing.T) {
	c := sharedCluster(t)
	_, lists, err := c.client.Discovery().ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, l := range lists {
		for _, r := range l.APIResources {
			have[l.GroupVersion+" "+r.Name] = true
			if l.GroupVersion == "extensions/v1beta1" && (len(r.ShortNames) > 0 || len(r.Categories) > 0) {
				t.Errorf("%s of extensions is listed as %v, %v: kubectl would find two", r.Name, r.ShortNames, r.Categories)
			}
			if l.GroupVersion == "extensions/v1beta1" && slices.Contains(r.Verbs, "watch") {
				t.Errorf("%s of extensions is listed as watchable: controllers would follow every object twice", r.Name)
			}
		}
	}
	for _, want := range []string{
		"v1 pods/exec", "v1 pods/attach", "v1 pods/portforward", "v1 pods/log", "v1 pods/proxy", "v1 pods/eviction", "v1 pods/binding", "v1 pods/ephemeralcontainers", "v1 pods/resize",
		"v1 services/proxy", "v1 nodes/proxy", "v1 serviceaccounts/token", "v1 replicationcontrollers/scale", "v1 namespaces/finalize", "v1 componentstatuses",
		"apps/v1 deployments/scale", "apps/v1beta1 deployments/scale", "apps/v1beta2 daemonsets/status", "extensions/v1beta1 ingresses", "extensions/v1beta1 replicasets/scale",
		"batch/v1beta1 cronjobs/status", "networking.k8s.io/v1beta1 ingresses", "policy/v1beta1 poddisruptionbudgets", "autoscaling/v1 horizontalpodautoscalers", "autoscaling/v2 horizontalpodautoscalers/status",
		"certificates.k8s.io/v1 certificatesigningrequests/approval", "apiextensions.k8s.io/v1 customresourcedefinitions", "apiregistration.k8s.io/v1 apiservices",
		"authentication.k8s.io/v1 selfsubjectreviews", "authorization.k8s.io/v1 selfsubjectrulesreviews", "networking.k8s.io/v1 servicecidrs", "resource.k8s.io/v1 resourceclaims",
		"admissionregistration.k8s.io/v1 mutatingadmissionpolicies", "storage.k8s.io/v1 volumeattributesclasses", "flowcontrol.apiserver.k8s.io/v1 flowschemas",
	} {
		if !have[want] {
			t.Errorf("discovery lacks %s", want)
		}
	}
	// Clients without aggregated discovery ask for one document after the other.
	_, _, groups := c.do(t, "GET", "/apis", "", "Accept", "application/json")
	for _, want := range []string{`"name":"apps","versions":[{"groupVersion":"apps/v1","version":"v1"},{"groupVersion":"apps/v1beta2"`, `"name":"extensions"`, `"preferredVersion":{"groupVersion":"autoscaling/v2"`} {
		if !strings.Contains(groups, want) {
			t.Errorf("/apis lacks %s:\n%s", want, groups)
		}
	}
}

// TestOldAndNewVersionsAreOneObject: what was created under an old version is served under all.
func TestOldAndNewVersionsAreOneObject(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	const manifest = `{"apiVersion":"apps/v1beta1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":2,"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`
	if code, header, body := c.do(t, "POST", "/apis/apps/v1beta1/namespaces/"+ns+"/deployments", manifest); code != 201 || !strings.Contains(header.Get("Warning"), "apps/v1beta1 Deployment is deprecated") {
		t.Fatal(code, header.Get("Warning"), body)
	}
	for _, gv := range []string{"apps/v1", "apps/v1beta2", "apps/v1beta1", "extensions/v1beta1"} {
		code, _, body := c.do(t, "GET", "/apis/"+gv+"/namespaces/"+ns+"/deployments/web", "")
		var u unstructured.Unstructured
		if err := json.Unmarshal([]byte(body), &u.Object); err != nil || code != 200 || u.GetAPIVersion() != gv {
			t.Errorf("as %s: %d %s", gv, code, body)
			continue
		}
		selector, _, _ := unstructured.NestedString(u.Object, "spec", "selector", "matchLabels", "app")
		if selector != "web" {
			t.Errorf("as %s: selector %q", gv, selector)
		}
		code, _, body = c.do(t, "PATCH", "/apis/"+gv+"/namespaces/"+ns+"/deployments/web/scale", `{"spec":{"replicas":3}}`, "Content-Type", "application/merge-patch+json")
		if code != 200 || !strings.Contains(body, `"replicas":3`) {
			t.Errorf("scale as %s: %d %s", gv, code, body)
		}
	}
}
