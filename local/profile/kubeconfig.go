package profile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Credentials are what a client needs to reach the cluster, as PEM.
type Credentials struct {
	Server     string // URL
	CACert     []byte
	ClientCert []byte
	ClientKey  []byte
}

// WriteKubeconfig writes the profile's own kubeconfig, which names this cluster alone.
func (p *Profile) WriteKubeconfig(c Credentials) error {
	config := clientcmdapi.NewConfig()
	p.mergeInto(config, c)
	config.CurrentContext = p.Context()
	raw, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("write the kubeconfig of profile %q: %w", p.Name, err)
	}
	return WriteFile(p.KubeconfigPath(), raw)
}

// ReadCredentials reads back what WriteKubeconfig wrote.
func (p *Profile) ReadCredentials() (Credentials, error) {
	config, err := clientcmd.LoadFromFile(p.KubeconfigPath())
	if err != nil {
		return Credentials{}, fmt.Errorf("read the kubeconfig of profile %q: %w", p.Name, err)
	}
	cluster, user := config.Clusters[p.Context()], config.AuthInfos[p.Context()]
	if cluster == nil || user == nil {
		return Credentials{}, fmt.Errorf("read the kubeconfig of profile %q: %s has no entry %q", p.Name, p.KubeconfigPath(), p.Context())
	}
	return Credentials{
		Server: cluster.Server, CACert: cluster.CertificateAuthorityData,
		ClientCert: user.ClientCertificateData, ClientKey: user.ClientKeyData,
	}, nil
}

// MergeKubeconfig puts the profile's context into the user's kubeconfig, in the file that kubectl itself would write
// (the first existing one of KUBECONFIG, else ~/.kube/config), under kubectl's lock. A namespace or extension that the
// user gave the context stays. With use, the context becomes the current one, unless an alias of it is. It returns the name
// under which the cluster is found, and the file's path.
func (p *Profile) MergeKubeconfig(c Credentials, use bool) (name, path string, err error) {
	path, err = p.changeKubeconfig(func(config *clientcmdapi.Config) bool {
		changed := p.mergeInto(config, c)
		name = p.Context()
		switch {
		case p.names(config, config.CurrentContext):
			name = config.CurrentContext
		case use:
			config.CurrentContext = name
			changed = true
		}
		return changed
	})
	return name, path, err
}

// RemoveFromKubeconfig takes the profile's entries out of the user's kubeconfig, aliases too; when its context was the current
// one, none is current afterwards. What is not there is no error.
func (p *Profile) RemoveFromKubeconfig() error {
	_, err := p.changeKubeconfig(func(config *clientcmdapi.Config) bool {
		changed := config.AuthInfos[p.Context()] != nil
		for _, name := range append(p.aliases(config), p.Context()) {
			changed = changed || config.Contexts[name] != nil || config.Clusters[name] != nil
			delete(config.Contexts, name)
			delete(config.Clusters, name)
			if changed && config.CurrentContext == name {
				config.CurrentContext = ""
			}
		}
		delete(config.AuthInfos, p.Context())
		return changed
	})
	return err
}

// kubeconfigWait is how long another program may hold the kubeconfig. Chosen: writing it takes milliseconds.
const kubeconfigWait = 5 * time.Second

// changeKubeconfig reads the user's kubeconfig, and writes it if change says that it changed it. It returns the file that
// is written to.
func (p *Profile) changeKubeconfig(change func(*clientcmdapi.Config) bool) (path string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), kubeconfigWait)
	defer cancel()
	// kubectl's lock covers the writing alone: what another start adds between reading and writing would be taken out
	// again. A folder can't be locked everywhere; there it is as with kubectl.
	turn := flock.New(filepath.Dir(p.Dir), flock.SetFlag(os.O_RDONLY))
	if held, err := turn.TryLockContext(ctx, 10*time.Millisecond); err == nil && held {
		defer func() { _ = turn.Unlock() }()
	}
	options := clientcmd.NewDefaultPathOptions()
	for {
		config, err := options.GetStartingConfig()
		if err != nil {
			return "", fmt.Errorf("read your kubeconfig: %w (repair the file, or set KUBECONFIG to another)", err)
		}
		path = options.GetDefaultFilename()
		if !change(config) {
			return path, nil
		}
		err = clientcmd.ModifyConfig(options, *config, true)
		switch {
		case err == nil:
			return path, nil
		case !errors.Is(err, fs.ErrExist):
			return "", fmt.Errorf("write your kubeconfig %s: %w", path, err)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return "", fmt.Errorf("write your kubeconfig %s: another program has locked it for %s: %w (when none is writing it, delete that file)", path, kubeconfigWait, err)
		}
	}
}

// mergeInto sets the profile's three entries and the clusters of its aliases, and tells whether anything changed.
func (p *Profile) mergeInto(config *clientcmdapi.Config, c Credentials) bool {
	name := p.Context()
	changed := false

	for _, cluster := range append(p.aliases(config), name) {
		changed = mergeCluster(config, cluster, c) || changed
	}

	user := config.AuthInfos[name]
	if user == nil {
		user = clientcmdapi.NewAuthInfo()
		config.AuthInfos[name] = user
		changed = true
	}
	if string(user.ClientCertificateData) != string(c.ClientCert) || string(user.ClientKeyData) != string(c.ClientKey) {
		user.ClientCertificateData, user.ClientKeyData = c.ClientCert, c.ClientKey
		user.ClientCertificate, user.ClientKey = "", ""
		changed = true
	}

	context := config.Contexts[name]
	if context == nil {
		context = clientcmdapi.NewContext()
		config.Contexts[name] = context
		changed = true
	}
	if context.Cluster != name || context.AuthInfo != name {
		context.Cluster, context.AuthInfo = name, name
		changed = true
	}
	return changed
}

func mergeCluster(config *clientcmdapi.Config, name string, c Credentials) (changed bool) {
	cluster := config.Clusters[name]
	if cluster == nil {
		cluster = clientcmdapi.NewCluster()
		config.Clusters[name] = cluster
		changed = true
	}
	if cluster.Server != c.Server || string(cluster.CertificateAuthorityData) != string(c.CACert) {
		cluster.Server, cluster.CertificateAuthorityData, cluster.CertificateAuthority = c.Server, c.CACert, ""
		changed = true
	}
	return changed
}
