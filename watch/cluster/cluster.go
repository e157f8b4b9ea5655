// Package cluster carries out what a plan says: it sends objects by server-side apply, prunes, and remembers in the
// cluster what belongs to a set. It needs nothing but the Kubernetes API, so any cluster will do.
//
// # What a set leaves in the cluster
//
// The set is an ApplySet (KEP-3659), so that other tools see who owns what and leave it alone: a ConfigMap as its parent,
// and the label applyset.kubernetes.io/part-of on every member. Unlike the KEP's first implementation each member also
// carries the hash of what was applied and where it was written. An acknowledged apply therefore is one write, there
// is no second record that could disagree, and a restart learns everything by listing the members.
package cluster

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// Names that the set writes into the cluster.
const (
	// FieldManager owns the fields that manifests set.
	FieldManager = "skiff"

	labelID     = "applyset.kubernetes.io/id"
	labelPartOf = "applyset.kubernetes.io/part-of"

	annTooling    = "applyset.kubernetes.io/tooling"
	annKinds      = "applyset.kubernetes.io/contains-group-kinds"
	annNamespaces = "applyset.kubernetes.io/additional-namespaces"
	tooling       = "skiff/v1"

	annHash    = "skiff.local/applied"
	annUnit    = "skiff.local/source"
	annOptOut  = "skiff.local/prune"   // "false" keeps an object that left the sources
	annReplace = "skiff.local/replace" // "true" lets it be deleted and made anew when it can't be changed
	annSources = "skiff.local/sources"
	annHost    = "skiff.local/host"
)

// Set names a set of objects. Two sets with the same name and namespace are the same set.
type Set struct {
	Name string
	// Namespace is where objects without one go, and where the set's record lies.
	Namespace string
	// Sources and Host say where the set comes from, to people and to a set that meets its objects.
	Sources []string
	Host    string
}

// parent is the name of the set's ConfigMap.
func (s Set) parent() string { return "skiff-set-" + s.Name }

// ID is the set's ApplySet ID, computed as the KEP demands.
func (s Set) ID() string {
	sum := sha256.Sum256([]byte(s.parent() + "." + s.Namespace + ".ConfigMap."))
	return "applyset-" + base64.RawURLEncoding.EncodeToString(sum[:]) + "-v1"
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// NameFor makes a set's name of what it is called by people and of what tells it from others of that name.
func NameFor(base, identity string) string {
	base = strings.Trim(notInNames.ReplaceAllString(strings.ToLower(base), "-"), "-")
	if len(base) > 40 {
		base = strings.Trim(base[:40], "-")
	}
	sum := sha256.Sum256([]byte(identity))
	return strings.Trim(fmt.Sprintf("%s-%x", base, sum[:3]), "-")
}

// Cluster is one set's view of a cluster. Its methods may be called from several goroutines.
type Cluster struct {
	set      Set
	dynamic  dynamic.Interface
	metadata metadata.Interface
	client   kubernetes.Interface
	disco    discovery.CachedDiscoveryInterface
	mapper   *restmapper.DeferredDiscoveryRESTMapper

	mu      sync.Mutex
	learned map[schema.GroupVersionKind]*meta.RESTMapping // kinds that the set itself defines
	found   map[schema.GroupVersionKind]*meta.RESTMapping // answers of the mapper, which takes 15 µs each
	stored  record                                        // what the parent says

	schemas schemas
}

// Connect makes clients for a set. It does not talk to the cluster.
func Connect(config *rest.Config, set Set) (*Cluster, error) {
	config = rest.CopyConfig(config)
	if config.QPS == 0 {
		// The server's own priority and fairness limits callers; the client's default of 5 requests a second would make
		// a set of 1,000 objects take minutes.
		config.QPS = -1
	}
	config.WarningHandlerWithContext = warnings{}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	dyn, err := dynamic.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	md, err := metadata.NewForConfigAndClient(metadata.ConfigFor(config), httpClient)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	client, err := kubernetes.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	disco := memory.NewMemCacheClient(client.Discovery())
	return &Cluster{
		set: set, dynamic: dyn, metadata: md, client: client, disco: disco,
		mapper:  restmapper.NewDeferredDiscoveryRESTMapper(disco),
		learned: map[schema.GroupVersionKind]*meta.RESTMapping{},
		found:   map[schema.GroupVersionKind]*meta.RESTMapping{},
	}, nil
}

// Client is a typed client for the same cluster.
func (c *Cluster) Client() kubernetes.Interface { return c.client }

// Dynamic is an untyped client for the same cluster.
func (c *Cluster) Dynamic() dynamic.Interface { return c.dynamic }

// Metadata is a client for the same cluster that sees metadata only.
func (c *Cluster) Metadata() metadata.Interface { return c.metadata }

// ResourceOf finds where objects of a kind are served.
func (c *Cluster) ResourceOf(gk schema.GroupKind) (schema.GroupVersionResource, error) {
	c.mu.Lock()
	for gvk, mapping := range c.learned {
		if gvk.GroupKind() == gk {
			c.mu.Unlock()
			return mapping.Resource, nil
		}
	}
	c.mu.Unlock()
	mapping, err := c.mapper.RESTMapping(gk)
	if err != nil {
		return schema.GroupVersionResource{}, fmt.Errorf("ask the cluster about %s: %w", gk.Kind, err)
	}
	return mapping.Resource, nil
}

// SetID is the value of the label that members carry.
func (c *Cluster) SetID() string { return c.set.ID() }

// MemberSelector selects the set's members.
func (c *Cluster) MemberSelector() string { return labelPartOf + "=" + c.set.ID() }
