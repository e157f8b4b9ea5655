package profile

import (
	"fmt"

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
// user gave the context stays. With use, the context becomes the current one. It returns the file's path.
func (p *Profile) MergeKubeconfig(c Credentials, use bool) (path string, err error) {
	options := clientcmd.NewDefaultPathOptions()
	config, err := options.GetStartingConfig()
	if err != nil {
		return "", fmt.Errorf("read your kubeconfig: %w (repair the file, or set KUBECONFIG to another)", err)
	}
	changed := p.mergeInto(config, c)
	if use && config.CurrentContext != p.Context() {
		config.CurrentContext = p.Context()
		changed = true
	}
	path = options.GetDefaultFilename()
	if !changed {
		return path, nil
	}
	if err := clientcmd.ModifyConfig(options, *config, true); err != nil {
		return "", fmt.Errorf("write your kubeconfig %s: %w", path, err)
	}
	return path, nil
}

// RemoveFromKubeconfig takes the profile's entries out of the user's kubeconfig; when its context was the current one,
// none is current afterwards. What is not there is no error.
func (p *Profile) RemoveFromKubeconfig() error {
	options := clientcmd.NewDefaultPathOptions()
	config, err := options.GetStartingConfig()
	if err != nil {
		return fmt.Errorf("read your kubeconfig: %w", err)
	}
	name := p.Context()
	if config.Contexts[name] == nil && config.Clusters[name] == nil && config.AuthInfos[name] == nil {
		return nil
	}
	delete(config.Contexts, name)
	delete(config.Clusters, name)
	delete(config.AuthInfos, name)
	if config.CurrentContext == name {
		config.CurrentContext = ""
	}
	if err := clientcmd.ModifyConfig(options, *config, true); err != nil {
		return fmt.Errorf("take context %q out of your kubeconfig: %w", name, err)
	}
	return nil
}

// mergeInto sets the profile's three entries and tells whether anything changed.
func (p *Profile) mergeInto(config *clientcmdapi.Config, c Credentials) bool {
	name := p.Context()
	changed := false

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
