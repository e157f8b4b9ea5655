package apiserver

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const crontabs = `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"crontabs.stable.example.com"},
"spec":{"group":"stable.example.com","scope":"Namespaced","names":{"plural":"crontabs","singular":"crontab","kind":"CronTab","shortNames":["ct"],"categories":["all"]},
"versions":[{"name":"v1","served":true,"storage":true,"subresources":{"status":{},"scale":{"specReplicasPath":".spec.replicas","statusReplicasPath":".status.replicas"}},
 "additionalPrinterColumns":[{"name":"Spec","type":"string","jsonPath":".spec.cronSpec"}],
 "selectableFields":[{"jsonPath":".spec.image"}],
 "schema":{"openAPIV3Schema":{"type":"object","description":"a table of times","properties":{
   "spec":{"type":"object","required":["cronSpec"],"x-kubernetes-validations":[{"rule":"self.replicas <= 10","message":"too many replicas"}],
     "properties":{"cronSpec":{"type":"string","pattern":"^(\\d+|\\*)( (\\d+|\\*)){4}$"},"image":{"type":"string","default":"cron:1"},"replicas":{"type":"integer","minimum":1,"default":1}}},
   "status":{"type":"object","properties":{"replicas":{"type":"integer"}}}}}}}]}}`

func (c *testCluster) define(t *testing.T, crd string) {
	t.Helper()
	const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
	code, _, body := c.do(t, "POST", path, crd)
	if code != 201 {
		t.Fatal(code, body)
	}
	var made apiextensionsv1.CustomResourceDefinition
	if err := json.Unmarshal([]byte(body), &made); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if code, _, body := c.doAnyway(t, "DELETE", path+"/"+made.Name); code != 200 {
			t.Errorf("delete %s: %d %s", made.Name, code, body)
		}
	})
	resource := schema.GroupVersionResource{Group: made.Spec.Group, Version: made.Spec.Versions[0].Name, Resource: made.Spec.Names.Plural}
	eventually(t, made.Name+" is served", func() error {
		_, err := c.dynamic.Resource(resource).List(t.Context(), metav1.ListOptions{})
		return err
	})
}

func TestCustomResources(t *testing.T) {
	c := sharedCluster(t)
	c.define(t, crontabs)
	ns := c.namespace(t)
	path := "/apis/stable.example.com/v1/namespaces/" + ns + "/crontabs"
	create := func(spec, query string) (int, string) {
		code, _, body := c.do(t, "POST", path+query, `{"apiVersion":"stable.example.com/v1","kind":"CronTab","metadata":{"generateName":"x-"},"spec":`+spec+`}`)
		return code, body
	}
	for _, r := range []struct {
		spec, query string
		code        int
		want        string
	}{
		{`{"cronSpec":"* * * * 5"}`, "", 201, `"spec":{"cronSpec":"* * * * 5","image":"cron:1","replicas":1}`},
		{`{"cronSpec":"* * * * 5","more":1}`, "", 201, `"spec":{"cronSpec":"* * * * 5","image":"cron:1","replicas":1}`},
		{`{"cronSpec":"* * * * 5","more":1}`, "?fieldValidation=Strict", 400, `unknown field \"spec.more\"`},
		{`{}`, "", 422, `spec.cronSpec: Required value`},
		{`{"cronSpec":"often"}`, "", 422, `spec.cronSpec in body should match`},
		{`{"cronSpec":"* * * * 5","replicas":0}`, "", 422, `spec.replicas in body should be greater than or equal to 1`},
		{`{"cronSpec":"* * * * 5","replicas":11}`, "", 422, `too many replicas`},
	} {
		if code, body := create(r.spec, r.query); code != r.code || !strings.Contains(body, r.want) {
			t.Errorf("%s%s: %d %s\nwant %d %s", r.spec, r.query, code, body, r.code, r.want)
		}
	}
	_, body := create(`{"cronSpec":"* * * * 6","image":"other"}`, "")
	var u unstructured.Unstructured
	if err := json.Unmarshal([]byte(body), &u.Object); err != nil {
		t.Fatal(err)
	}
	one := path + "/" + u.GetName()
	const merge = "application/merge-patch+json"
	if code, _, body := c.do(t, "PATCH", one+"/scale", `{"spec":{"replicas":4}}`, "Content-Type", merge); code != 200 || !strings.Contains(body, `"kind":"Scale"`) {
		t.Errorf("scale: %d %s", code, body)
	}
	if code, _, body := c.do(t, "PATCH", one+"/status", `{"status":{"replicas":2},"spec":{"image":"ignored"}}`, "Content-Type", merge); code != 200 || !strings.Contains(body, `"image":"other"`) {
		t.Errorf("status: %d %s", code, body)
	}
	if code, _, body := c.do(t, "GET", path+"?fieldSelector=spec.image%3Dother", "", "Accept", "application/json;as=Table;v=v1;g=meta.k8s.io"); code != 200 || !strings.Contains(body, `"name":"Spec"`) || strings.Count(body, `"cells"`) != 1 {
		t.Errorf("table of the selected: %d %s", code, body)
	}
	if code, _, body := c.do(t, "PATCH", one+"?fieldManager=a", `{"apiVersion":"stable.example.com/v1","kind":"CronTab","metadata":{"name":"`+u.GetName()+`"},"spec":{"cronSpec":"1 * * * *"}}`, "Content-Type", "application/apply-patch+yaml"); code != 409 {
		t.Errorf("apply of what another wrote: %d %s", code, body)
	}
}

func TestCustomResourcesAreDocumented(t *testing.T) {
	c := sharedCluster(t)
	c.define(t, strings.NewReplacer("crontabs", "documented", "CronTab", "Documented", "crontab", "documentee", `["ct"]`, `[]`).Replace(crontabs))
	eventually(t, "the documents list the kind", func() error {
		_, _, index := c.do(t, "GET", "/openapi/v3", "")
		if !strings.Contains(index, `"apis/stable.example.com/v1"`) || !strings.Contains(index, `"apis/apps/v1beta1"`) {
			return fmt.Errorf("v3: %s", index)
		}
		if _, _, doc := c.do(t, "GET", "/openapi/v3/apis/stable.example.com/v1", ""); !strings.Contains(doc, "a table of times") {
			return fmt.Errorf("v3: %.200s", doc)
		}
		_, _, v2 := c.do(t, "GET", "/openapi/v2", "")
		if !strings.Contains(v2, "com.example.stable.v1.Documented") || !strings.Contains(v2, "io.k8s.api.apps.v1.Deployment") {
			return fmt.Errorf("v2 JSON of %d bytes lacks the kind", len(v2))
		}
		if _, _, pb := c.do(t, "GET", "/openapi/v2", "", "Accept", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"); !strings.Contains(pb, "com.example.stable.v1.Documented") || !strings.Contains(pb, "io.k8s.api.apps.v1.Deployment") {
			return fmt.Errorf("v2 protobuf of %d bytes lacks the kind: %.100q", len(pb), pb)
		}
		return nil
	})
	if _, err := c.client.Discovery().OpenAPISchema(); err != nil {
		t.Errorf("client-go can't read the document: %v", err)
	}
	_, _, index := c.do(t, "GET", "/openapi/v3", "")
	var paths struct {
		Paths map[string]struct{ ServerRelativeURL string }
	}
	if err := json.Unmarshal([]byte(index), &paths); err != nil {
		t.Fatal(err)
	}
	for gv, p := range paths.Paths {
		if code, header, body := c.do(t, "GET", p.ServerRelativeURL, ""); code != 200 || !json.Valid([]byte(body)) || !strings.Contains(header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s at %s: %d %s", gv, p.ServerRelativeURL, code, header.Get("Cache-Control"))
		}
	}
}

// TestVersionsAreConvertedByAWebhookInTheCluster: v1 has spec.host, v2 splits it.
func TestVersionsAreConvertedByAWebhookInTheCluster(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	ca := c.serveTLS(t, ns, "convert", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review apiextensionsv1.ConversionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), 400)
			return
		}
		review.Response = &apiextensionsv1.ConversionResponse{UID: review.Request.UID, Result: metav1.Status{Status: metav1.StatusSuccess}}
		for _, raw := range review.Request.Objects {
			var o map[string]any
			_ = json.Unmarshal(raw.Raw, &o)
			spec, _ := o["spec"].(map[string]any)
			if review.Request.DesiredAPIVersion == "conv.example.com/v2" {
				host, port, _ := strings.Cut(fmt.Sprint(spec["host"]), ":")
				o["spec"] = map[string]any{"name": host, "port": port}
			} else {
				o["spec"] = map[string]any{"host": fmt.Sprint(spec["name"], ":", spec["port"])}
			}
			o["apiVersion"] = review.Request.DesiredAPIVersion
			b, _ := json.Marshal(o)
			review.Response.ConvertedObjects = append(review.Response.ConvertedObjects, runtime.RawExtension{Raw: b})
		}
		review.Request = nil
		_ = json.NewEncoder(w).Encode(review)
	}))
	const open = `"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}`
	c.define(t, `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"hosts.conv.example.com"},"spec":{"group":"conv.example.com","scope":"Namespaced","names":{"plural":"hosts","kind":"Host"},
"versions":[{"name":"v1","served":true,"storage":true,`+open+`},{"name":"v2","served":true,"storage":false,`+open+`}],
"conversion":{"strategy":"Webhook","webhook":{"conversionReviewVersions":["v1"],"clientConfig":{"caBundle":"`+base64.StdEncoding.EncodeToString(ca)+`","service":{"namespace":"`+ns+`","name":"convert","path":"/convert"}}}}}}`)
	if code, _, body := c.do(t, "POST", "/apis/conv.example.com/v2/namespaces/"+ns+"/hosts", `{"apiVersion":"conv.example.com/v2","kind":"Host","metadata":{"name":"h"},"spec":{"name":"db","port":"5432"}}`); code != 201 {
		t.Fatal(code, body)
	}
	if _, _, body := c.do(t, "GET", "/apis/conv.example.com/v1/namespaces/"+ns+"/hosts/h", ""); !strings.Contains(body, `"spec":{"host":"db:5432"}`) {
		t.Errorf("as v1: %s", body)
	}
	if _, _, body := c.do(t, "GET", "/apis/conv.example.com/v2/namespaces/"+ns+"/hosts", ""); !strings.Contains(body, `"spec":{"name":"db","port":"5432"}`) {
		t.Errorf("as v2: %s", body)
	}
}
