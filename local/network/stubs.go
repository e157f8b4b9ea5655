package network

import (
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"skiff.local/skiff/local/network/corefile"
)

// stubs follows the ConfigMaps of kube-system that people configure a cluster's DNS with: coredns (Corefile),
// coredns-custom (*.server, as hosted clusters have it) and kube-dns (stubDomains).
type stubs struct {
	program  *program
	recorder record.EventRecorder
	maps     map[string]*corev1.ConfigMap // only touched by the informer's goroutine
	told     map[string]string            // the last complaint about each
}

func newStubs(p *program, recorder record.EventRecorder) *stubs {
	return &stubs{program: p, recorder: recorder, maps: map[string]*corev1.ConfigMap{}, told: map[string]string{}}
}

func (s *stubs) watch(c Cluster) (cache.DoneChecker, error) {
	registration, err := c.Informers.Core().V1().ConfigMaps().Informer().AddEventHandler(cache.FilteringResourceEventHandler{
		FilterFunc: func(obj any) bool {
			o, ok := obj.(*corev1.ConfigMap)
			return ok && o.Namespace == metav1.NamespaceSystem && slices.Contains([]string{"coredns", "coredns-custom", "kube-dns"}, o.Name)
		},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(obj any) { s.set(obj.(*corev1.ConfigMap)) },
			UpdateFunc: func(_, obj any) { s.set(obj.(*corev1.ConfigMap)) },
			DeleteFunc: func(obj any) {
				if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
					obj = unknown.Obj
				}
				if o, ok := obj.(*corev1.ConfigMap); ok {
					delete(s.maps, o.Name)
					s.publish()
				}
			},
		},
	})
	if err != nil {
		return nil, err
	}
	return registration.HasSyncedChecker(), nil
}

func (s *stubs) set(o *corev1.ConfigMap) {
	s.maps[o.Name] = o
	s.publish()
}

func (s *stubs) publish() {
	var all corefile.Config
	// Own additions come before the stock file, as they do where it includes them.
	for _, name := range []string{"coredns-custom", "coredns", "kube-dns"} {
		o := s.maps[name]
		if o == nil {
			continue
		}
		c, err := readStubs(o)
		all.Merge(c)
		complaint := ""
		if err != nil {
			complaint = err.Error()
		}
		if complaint != "" && complaint != s.told[name] {
			s.recorder.Event(o, corev1.EventTypeWarning, "InvalidDNS", complaint)
		}
		s.told[name] = complaint
	}
	s.program.setStubs(all)
}

func readStubs(o *corev1.ConfigMap) (corefile.Config, error) {
	var all corefile.Config
	var failed error
	for key, text := range o.Data {
		var c corefile.Config
		var err error
		switch {
		case key == "Corefile" || strings.HasSuffix(key, ".server"):
			c, err = corefile.Parse(text)
		case key == "stubDomains":
			c, err = corefile.ParseStubDomains(text)
		}
		if err != nil {
			failed = err
			continue
		}
		all.Merge(c)
	}
	return all, failed
}

func (p *program) setStubs(c corefile.Config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if reflect.DeepEqual(p.stubs, c) {
		return
	}
	p.stubs, p.stubsDirty = c, true
	p.markLocked()
}
