package apiserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"k8s.io/client-go/tools/cache"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	apiregistrationhelper "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/helper"
	"k8s.io/kube-openapi/pkg/handler3"

	"skiff.local/skiff/local/apiserver/pki"
)

const (
	// remoteRefresh is how often extension API servers are asked whether their documents have changed; the
	// aggregator's value.
	remoteRefresh = time.Minute
	// remoteTimeout bounds one question to one of them; chosen.
	remoteTimeout = 10 * time.Second
	// aggregatorUser is who asks; the aggregator's value.
	aggregatorUser = "system:aggregator"
)

// remoteDocuments are the OpenAPI v3 documents of extension API servers. The aggregator's own controller
// would ask the servers in this process once a second, too.
type remoteDocuments struct {
	reach *reach
	proxy pki.Pair
	kick  chan struct{}

	mu   sync.Mutex
	docs map[string]remoteDocument // by group version as in the document's URL
}

type remoteDocument struct {
	service string // the APIService's name
	path    handler3.OpenAPIV3DiscoveryGroupVersion
	base    *url.URL
	via     http.RoundTripper
}

func newRemoteDocuments(reach *reach, proxy pki.Pair) *remoteDocuments {
	return &remoteDocuments{reach: reach, proxy: proxy, kick: make(chan struct{}, 1), docs: map[string]remoteDocument{}}
}

// Paths lists the documents.
func (d *remoteDocuments) Paths() map[string]handler3.OpenAPIV3DiscoveryGroupVersion {
	d.mu.Lock()
	defer d.mu.Unlock()
	paths := make(map[string]handler3.OpenAPIV3DiscoveryGroupVersion, len(d.docs))
	for gv, doc := range d.docs {
		paths[gv] = doc.path
	}
	return paths
}

// Serve passes a request for a document on to its server, and reports whether there is one.
func (d *remoteDocuments) Serve(w http.ResponseWriter, r *http.Request, gv string) bool {
	d.mu.Lock()
	doc, ok := d.docs[gv]
	d.mu.Unlock()
	if !ok {
		return false
	}
	proxy := httputil.ReverseProxy{
		Transport: doc.via,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(doc.base)
			asAggregator(p.Out)
		},
	}
	proxy.ServeHTTP(w, r)
	return true
}

// run keeps the list up to date. It does nothing as long as no APIService names a Service.
func (d *remoteDocuments) run(ctx context.Context, services cache.SharedIndexInformer) error {
	wake := func(obj any) {
		if s, ok := obj.(*apiregistrationv1.APIService); ok && s.Spec.Service == nil {
			return
		}
		select {
		case d.kick <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: wake, UpdateFunc: func(_, obj any) { wake(obj) }, DeleteFunc: wake}
	if _, err := services.AddEventHandler(handler); err != nil {
		return fmt.Errorf("watch APIServices: %w", err)
	}
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.kick:
		case <-again:
		}
		again = nil
		if d.refresh(ctx, services.GetStore().List()) {
			again = time.After(remoteRefresh)
		}
	}
}

// refresh asks the servers of all available APIServices and says whether there are any.
func (d *remoteDocuments) refresh(ctx context.Context, services []any) (any bool) {
	docs := map[string]remoteDocument{}
	for _, obj := range services {
		s := obj.(*apiregistrationv1.APIService)
		if s.Spec.Service == nil {
			continue
		}
		any = true
		if !apiregistrationhelper.IsAPIServiceConditionTrue(s, apiregistrationv1.Available) {
			continue
		}
		gv := "apis/" + s.Spec.Group + "/" + s.Spec.Version
		doc, err := d.ask(ctx, s, gv)
		if err != nil {
			// What was known stays valid: a server that restarts has the same documents a moment later.
			d.mu.Lock()
			old, ok := d.docs[gv]
			d.mu.Unlock()
			if !ok || old.service != s.Name {
				continue
			}
			doc = old
		}
		docs[gv] = doc
	}
	d.mu.Lock()
	d.docs = docs
	d.mu.Unlock()
	return any
}

func (d *remoteDocuments) ask(ctx context.Context, s *apiregistrationv1.APIService, gv string) (doc remoteDocument, err error) {
	doc.service = s.Name
	if doc.via, err = d.transport(s); err != nil {
		return doc, err
	}
	ref := s.Spec.Service
	if doc.base, err = d.reach.resolver().ResolveEndpoint(ref.Namespace, ref.Name, *ref.Port); err != nil {
		return doc, fmt.Errorf("resolve service %s/%s: %w", ref.Namespace, ref.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, doc.base.JoinPath("/openapi/v3").String(), nil)
	if err != nil {
		return doc, err
	}
	r.Header.Set("Accept", "application/json")
	asAggregator(r)
	resp, err := doc.via.RoundTrip(r)
	if err != nil {
		return doc, fmt.Errorf("ask %s for its documents: %w", s.Name, err)
	}
	defer resp.Body.Close()
	var index handler3.OpenAPIV3Discovery
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&index); err != nil {
		return doc, fmt.Errorf("read the list of documents of %s: %w", s.Name, err)
	}
	var ok bool
	if doc.path, ok = index.Paths[gv]; !ok {
		return doc, fmt.Errorf("%s has no document for %s", s.Name, gv)
	}
	return doc, nil
}

// transport trusts the server as the aggregator does, and shows it the proxy's certificate.
func (d *remoteDocuments) transport(s *apiregistrationv1.APIService) (http.RoundTripper, error) {
	cert, err := tls.X509KeyPair(d.proxy.Cert, d.proxy.Key)
	if err != nil {
		return nil, fmt.Errorf("load proxy certificate: %w", err)
	}
	t := d.reach.transport()
	t.IdleConnTimeout = remoteTimeout
	t.TLSClientConfig = &tls.Config{
		Certificates:       []tls.Certificate{cert},
		InsecureSkipVerify: s.Spec.InsecureSkipTLSVerify,
		ServerName:         s.Spec.Service.Name + "." + s.Spec.Service.Namespace + ".svc",
	}
	if len(s.Spec.CABundle) > 0 {
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		t.TLSClientConfig.RootCAs.AppendCertsFromPEM(s.Spec.CABundle)
	}
	return t, nil
}

// asAggregator replaces whatever identity a request carries.
func asAggregator(r *http.Request) {
	for _, h := range []string{"Authorization", "X-Remote-Group", "X-Remote-Uid"} {
		r.Header.Del(h)
	}
	r.Header.Set("X-Remote-User", aggregatorUser)
}
