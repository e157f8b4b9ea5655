package profile

import (
	"errors"
	"fmt"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// ErrTaken is the error for a name in the kubeconfig that belongs to another cluster.
var ErrTaken = errors.New("the name belongs to another cluster")

// AddAlias puts a second context for the cluster into the user's kubeconfig, for tools that know a local cluster by its name
// alone: context and cluster are called alias, the user is the profile's. From then on MergeKubeconfig keeps it up to date and
// RemoveFromKubeconfig takes it away. A name that another cluster has is left alone: ErrTaken. With use, the context
// becomes the current one. It returns the file's path.
func (p *Profile) AddAlias(c Credentials, alias string, use bool) (path string, err error) {
	taken := false
	path, err = p.changeKubeconfig(func(config *clientcmdapi.Config) bool {
		if !p.names(config, alias) {
			if taken = config.Contexts[alias] != nil || config.Clusters[alias] != nil; taken {
				return false
			}
			config.Contexts[alias] = clientcmdapi.NewContext()
			config.Contexts[alias].Cluster, config.Contexts[alias].AuthInfo = alias, p.Context()
		}
		p.mergeInto(config, c)
		if use {
			config.CurrentContext = alias
		}
		return true
	})
	if taken {
		return "", fmt.Errorf("call the cluster %q in %s: %w", alias, path, ErrTaken)
	}
	return path, err
}

// names tells whether a context is the profile's own or one of its aliases. Contexts that people made for namespaces of the
// cluster are not: they refer to its entry.
func (p *Profile) names(config *clientcmdapi.Config, context string) bool {
	c := config.Contexts[context]
	return c != nil && c.AuthInfo == p.Context() && c.Cluster == context
}

// aliases are the names of the profile's aliases.
func (p *Profile) aliases(config *clientcmdapi.Config) []string {
	var out []string
	for name := range config.Contexts {
		if name != p.Context() && p.names(config, name) {
			out = append(out, name)
		}
	}
	return out
}
