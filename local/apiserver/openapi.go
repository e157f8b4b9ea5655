package apiserver

import "skiff.local/skiff/local/apiserver/openapi"

// installOpenAPI serves the documents that were built ahead, and those of custom resources as they appear.
func (s *Server) installOpenAPI() error {
	s.remote = newRemoteDocuments(s.reach, s.cfg.PKI.Proxy)
	docs, err := openapi.New(KubernetesVersion(), s.remote)
	if err != nil {
		return err
	}
	docs.Install(s.front.GenericAPIServer.Handler.NonGoRestfulMux)
	ext := s.extensions.GenericAPIServer
	// With these three set, the server of custom resources keeps the services up to date.
	ext.StaticOpenAPISpec, ext.OpenAPIVersionedService, ext.OpenAPIV3VersionedService = docs.CustomResources()
	return nil
}
