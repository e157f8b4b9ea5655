package kube

import (
	"bytes"
	"context"
	"path/filepath"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/profile"
)

// getter reaches the profile's cluster, whatever context is the user's current one, and starts it when it must. Flags
// that name another cluster turn it into the stock ConfigFlags.
type getter struct {
	*genericclioptions.ConfigFlags
	flags *pflag.FlagSet
	env   *env.Env
	// connectOnly forbids starting the cluster.
	connectOnly bool

	resolved bool
	err      error // why the cluster can't be reached
}

// elsewhere tells whether the user named a cluster of theirs.
func (g *getter) elsewhere() bool {
	for _, name := range []string{"context", "kubeconfig", "server", "cluster", "user"} {
		if f := g.flags.Lookup(name); f != nil && f.Changed {
			return true
		}
	}
	return false
}

// resolve makes sure that the cluster runs and points the stock flags at it: at the profile's context in the user's
// kubeconfig while that is intact, for the namespace that the user may have given it, else at the profile's own file.
func (g *getter) resolve() error {
	if g.resolved || g.elsewhere() {
		return g.err
	}
	g.resolved = true
	g.err = g.point()
	return g.err
}

func (g *getter) point() error {
	p, err := g.env.Profile()
	if err != nil {
		return err
	}
	var c *client.Cluster
	if g.connectOnly {
		c, err = client.Connect(p)
	} else {
		c, err = g.env.Ensure(context.Background())
	}
	if err != nil {
		return err
	}
	*g.Context = p.Context()
	if !inUsersKubeconfig(p, c.Credentials()) {
		*g.KubeConfig = p.KubeconfigPath()
	}
	if f := g.flags.Lookup("cache-dir"); f != nil && !f.Changed {
		// What is cached about a cluster goes when the cluster goes.
		*g.CacheDir = filepath.Join(p.Dir, "cache")
	}
	return nil
}

func inUsersKubeconfig(p *profile.Profile, c profile.Credentials) bool {
	config, err := clientcmd.NewDefaultClientConfigLoadingRules().Load()
	if err != nil {
		return false
	}
	context := config.Contexts[p.Context()]
	if context == nil {
		return false
	}
	cluster, user := config.Clusters[context.Cluster], config.AuthInfos[context.AuthInfo]
	return cluster != nil && user != nil && cluster.Server == c.Server &&
		bytes.Equal(cluster.CertificateAuthorityData, c.CACert) && bytes.Equal(user.ClientCertificateData, c.ClientCert)
}

func (g *getter) ToRESTConfig() (*rest.Config, error) {
	if err := g.resolve(); err != nil {
		return nil, err
	}
	return g.ConfigFlags.ToRESTConfig()
}

func (g *getter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	if err := g.resolve(); err != nil {
		return nil, err
	}
	return g.ConfigFlags.ToDiscoveryClient()
}

func (g *getter) ToRESTMapper() (meta.RESTMapper, error) {
	if err := g.resolve(); err != nil {
		return nil, err
	}
	return g.ConfigFlags.ToRESTMapper()
}

func (g *getter) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	if g.elsewhere() || g.resolved && g.err == nil {
		return g.ConfigFlags.ToRawKubeConfigLoader()
	}
	return &lazyLoader{g}
}

// lazyLoader answers what the namespace is without a cluster: `create --dry-run=client -o yaml` needs none.
type lazyLoader struct{ getter *getter }

var _ clientcmd.ClientConfig = &lazyLoader{}

func (l *lazyLoader) ClientConfig() (*rest.Config, error) {
	if err := l.getter.resolve(); err != nil {
		return nil, err
	}
	return l.getter.ConfigFlags.ToRawKubeConfigLoader().ClientConfig()
}

func (l *lazyLoader) Namespace() (string, bool, error) {
	if n := *l.getter.Namespace; n != "" {
		return n, true, nil
	}
	p, err := l.getter.env.Profile()
	if err != nil {
		return "", false, err
	}
	config, err := l.RawConfig()
	if err == nil {
		if c := config.Contexts[p.Context()]; c != nil && c.Namespace != "" {
			return c.Namespace, false, nil
		}
	}
	return "default", false, nil
}

func (l *lazyLoader) RawConfig() (clientcmdapi.Config, error) {
	config, err := clientcmd.NewDefaultClientConfigLoadingRules().Load()
	if err != nil {
		return clientcmdapi.Config{}, err
	}
	return *config, nil
}

func (l *lazyLoader) ConfigAccess() clientcmd.ConfigAccess {
	return clientcmd.NewDefaultClientConfigLoadingRules()
}
