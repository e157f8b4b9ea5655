package apiserver

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"skiff.local/skiff/local/apiserver/pki"
)

func TestAPIServiceInTheCluster(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /apis/agg.example.com/v1/", func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 || r.TLS.PeerCertificates[0].Subject.CommonName != pki.ProxyUser {
			http.Error(w, "who asks?", http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, `{"kind":"Thing","apiVersion":"agg.example.com/v1","asked":%q,"by":%q,"of":%q}`, r.URL.Path, r.Header.Get("X-Remote-User"), r.Header["X-Remote-Group"])
	})
	mux.HandleFunc("GET /apis/agg.example.com/v1", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"agg.example.com/v1","resources":[{"name":"things","singularName":"thing","namespaced":true,"kind":"Thing","verbs":["get"]}]}`)
	})
	mux.HandleFunc("GET /openapi/v3", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"paths":{"apis/agg.example.com/v1":{"serverRelativeURL":"/openapi/v3/apis/agg.example.com/v1?hash=1"},"apis/apps/v1":{"serverRelativeURL":"/stolen"}}}`)
	})
	mux.HandleFunc("GET /openapi/v3/apis/agg.example.com/v1", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"openapi":"3.0.0","info":{"title":%q}}`, r.Header.Get("X-Remote-User"))
	})
	ca := c.serveTLS(t, ns, "agg", mux)
	c.headless(t, ns, "agg")

	const path = "/apis/apiregistration.k8s.io/v1/apiservices"
	code, _, body := c.do(t, "POST", path, `{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{"name":"v1.agg.example.com"},"spec":{"group":"agg.example.com","version":"v1","groupPriorityMinimum":1000,"versionPriority":10,"caBundle":"`+
		base64.StdEncoding.EncodeToString(ca)+`","service":{"namespace":"`+ns+`","name":"agg"}}}`)
	if code != 201 {
		t.Fatal(code, body)
	}
	t.Cleanup(func() { c.doAnyway(t, "DELETE", path+"/v1.agg.example.com") })
	eventually(t, "the APIService answers", func() error {
		code, _, body := c.do(t, "GET", "/apis/agg.example.com/v1/namespaces/x/things/y", "")
		want := `{"kind":"Thing","apiVersion":"agg.example.com/v1","asked":"/apis/agg.example.com/v1/namespaces/x/things/y","by":"kubernetes-admin","of":["system:masters" "system:authenticated"]}`
		if code != 200 || body != want {
			return fmt.Errorf("%d %s, want %s", code, body, want)
		}
		return nil
	})
	eventually(t, "it is discovered", func() error {
		_, _, err := c.client.Discovery().ServerGroupsAndResources()
		if err != nil {
			return err
		}
		list, err := c.client.Discovery().ServerResourcesForGroupVersion("agg.example.com/v1")
		if err == nil && len(list.APIResources) != 1 {
			err = fmt.Errorf("%v", list)
		}
		return err
	})
	eventually(t, "it is documented", func() error {
		if code, _, body := c.do(t, "GET", "/openapi/v3/apis/agg.example.com/v1?hash=1", ""); code != 200 || !strings.Contains(body, `"system:aggregator"`) {
			return fmt.Errorf("%d %s", code, body)
		}
		return nil
	})
	if _, _, index := c.do(t, "GET", "/openapi/v3", ""); strings.Contains(index, "stolen") {
		t.Error("the extension server's list of documents replaced a built-in one")
	}
}

// headless makes a Service with an endpoint, as the availability of an APIService asks for.
func (c *testCluster) headless(t *testing.T, namespace, name string) {
	t.Helper()
	_, err := c.client.CoreV1().Services(namespace).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 443, TargetPort: intstr.FromInt32(8443)}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.client.DiscoveryV1().EndpointSlices(namespace).Create(t.Context(), &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.244.0.8"}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}}},
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To(""), Port: ptr.To[int32](8443)}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}
