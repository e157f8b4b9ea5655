// Package credential finds the credentials for pulling an image: those of a pod's imagePullSecrets, read with kubelet's
// own code, and those of the person who runs skiff, read from docker's configuration with its credential helpers.
//
// It is apart from package image because kubelet's code brings Kubernetes' feature gates with it.
package credential

import (
	"context"
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/credentialprovider/secrets"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/image"
)

// secretKeyring has what a pod's pull secrets say.
type secretKeyring struct {
	ring credentialprovider.DockerKeyring
}

// FromSecrets reads pull secrets of both Kubernetes types; secrets of other types are ignored, as kubelet does. It
// returns nil when none of them has credentials.
func FromSecrets(pullSecrets []v1.Secret) (image.Keyring, error) {
	ring, err := secrets.MakeDockerKeyring(pullSecrets, nil)
	if err != nil {
		return nil, fmt.Errorf("read image pull secrets: %w", err)
	}
	if ring == nil {
		return nil, nil
	}
	// A union with no default keyring would look things up in a nil one.
	if union, ok := ring.(credentialprovider.UnionDockerKeyring); ok && len(union) > 0 {
		ring = union[0]
	}
	return secretKeyring{ring}, nil
}

func (k secretKeyring) Lookup(_ context.Context, ref image.Reference) []docker.RegistryAuth {
	found, _ := k.ring.Lookup(ref.Repository)
	var out []docker.RegistryAuth
	for _, a := range found {
		out = append(out, docker.RegistryAuth{
			Username: a.Username, Password: a.Password, IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken,
			ServerAddress: serverAddress(ref.Registry),
		})
	}
	return out
}

// dockerHub is under this key in docker's configuration and helpers, for historical reasons.
const dockerHub = "https://index.docker.io/v1/"

func serverAddress(registry string) string {
	if registry == "docker.io" {
		return dockerHub
	}
	return registry
}

// sameRegistry compares a key of docker's configuration, which may be a URL, with a registry's host.
func sameRegistry(key, registry string) bool {
	if key == serverAddress(registry) {
		return true
	}
	host := strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	host, _, _ = strings.Cut(host, "/")
	if registry == "docker.io" {
		return host == "docker.io" || host == "index.docker.io" || host == "registry-1.docker.io"
	}
	return host == registry
}
