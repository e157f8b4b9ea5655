package apiserver

import "skiff.local/skiff/local/apiserver/openapi"

// installOpenAPI serves the documents that were built ahead, and those of custom resources as they appear.
func (s *Server) installOpenAPI() error {
	docs, err := openapi.New()
	if err != nil {
		return err
	}
	docs.Install(s.front.GenericAPIServer.Handler.NonGoRestfulMux)
	ext := s.extensions.GenericAPIServer
	// With these three set, the server of custom resources keeps the services up to date.
	ext.StaticOpenAPISpec, ext.OpenAPIVersionedService, ext.OpenAPIV3VersionedService = docs.CustomResources()
	return nil
}
