// Command probed is a server that tests probe over https and gRPC. It is healthy while /tmp/ok exists and slow while
// /tmp/slow does.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
)

func main() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		log.Fatal(err)
	}
	web := http.Server{Addr: ":8443", Handler: http.HandlerFunc(answer), TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}},
	}}
	go func() { log.Fatal(web.ListenAndServeTLS("", "")) }()
	listener, err := net.Listen("tcp", ":9000")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, health{})
	log.Fatal(server.Serve(listener))
}

func is(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// answer accepts only the request that the test's probe describes.
func answer(w http.ResponseWriter, r *http.Request) {
	for is("/tmp/slow") && r.Context().Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	switch {
	case r.URL.String() != "/healthz?deep=1" || r.Host != "probe.example" || r.Header.Get("X-Token") != "secret":
		http.Error(w, "not the probe's request: "+r.Host+r.URL.String(), http.StatusBadRequest)
	case !strings.HasPrefix(r.UserAgent(), "kube-probe/"):
		http.Error(w, "user agent "+r.UserAgent(), http.StatusForbidden)
	case !is("/tmp/ok"):
		http.Error(w, "down", http.StatusServiceUnavailable)
	}
}

type health struct {
	grpc_health_v1.UnimplementedHealthServer
}

func (health) Check(_ context.Context, r *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	status := grpc_health_v1.HealthCheckResponse_NOT_SERVING
	if r.Service == "db" && is("/tmp/ok") {
		status = grpc_health_v1.HealthCheckResponse_SERVING
	}
	return &grpc_health_v1.HealthCheckResponse{Status: status}, nil
}
