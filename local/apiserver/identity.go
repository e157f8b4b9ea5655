package apiserver

import (
	"fmt"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kubernetes/pkg/routes"
	"k8s.io/kubernetes/pkg/serviceaccount"
)

// installIdentity serves the OpenID configuration by which others may check this cluster's service-account tokens.
func installIdentity(server *genericapiserver.GenericAPIServer, issuer string, keys serviceaccount.PublicKeysGetter) error {
	provider, err := serviceaccount.NewOpenIDMetadataProvider(issuer, issuer+serviceaccount.JWKSPath, server.ExternalAddress, keys)
	if err != nil {
		return fmt.Errorf("make OpenID configuration: %w", err)
	}
	routes.NewOpenIDMetadataServer(provider).Install(server.Handler.GoRestfulContainer)
	return nil
}
