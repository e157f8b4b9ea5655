package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"skiff.local/skiff/local/network/networktest/load"
)

const ingressHost = "bench.localhost"

// ingress compares an Ingress with nginx as a reverse proxy on this machine, both in front of the same pods and both
// with a line in a log per request.
func (b *bench) ingress(ctx context.Context) error {
	svc, pods, err := b.servers(ctx, "webbed", 2)
	defer b.removeServers(ctx, "webbed")
	if err != nil {
		return err
	}
	port, remove, err := b.route(ctx, svc.Name, "http")
	defer remove()
	if err != nil {
		return err
	}
	var backends []string
	for _, ip := range pods {
		backends = append(backends, fmt.Sprintf("%s:%d", ip, probePorts["http"]))
	}
	nginx, stop, err := b.nginx(ctx, backends)
	if err != nil {
		b.report.add("Ingress against nginx", "-", "skipped: "+err.Error())
	}
	defer stop()
	ways := []struct {
		port       int32
		kept, p99s []float64
		short      []float64
	}{{port: port}, {port: nginx}}
	failed := 0
	for range b.rounds {
		for i := range ways {
			w := &ways[i]
			if w.port == 0 {
				continue
			}
			url := fmt.Sprintf("http://127.0.0.1:%d/", w.port)
			k := ask(ctx, load.Options{URL: url, Host: ingressHost, Kept: clients})
			s := ask(ctx, load.Options{URL: url, Host: ingressHost, Short: clients})
			w.kept, w.p99s, w.short = append(w.kept, k.PerSecond), append(w.p99s, milliseconds(k.P99)), append(w.short, s.PerSecond)
			failed += k.Failed + s.Failed
		}
	}
	if nginx == 0 {
		b.report.add("Ingress, kept connections", fmt.Sprintf("%.4g req/s", middle(ways[0].kept)), "")
		return nil
	}
	b.compare("Ingress, kept connections", "req/s", series{ways[0].kept, ways[1].kept}, "nginx", "")
	b.compare("Ingress, kept connections, p99", "ms", series{ways[0].p99s, ways[1].p99s}, "nginx", "")
	b.compare("Ingress, a connection each", "req/s", series{ways[0].short, ways[1].short}, "nginx", "")
	if failed > 0 {
		b.report.add("Ingress, failed requests", fmt.Sprint(failed), "of either")
	}
	return nil
}

// route makes an Ingress for ingressHost and returns the port where it answers.
func (b *bench) route(ctx context.Context, service, portName string) (port int32, remove func(), err error) {
	ingresses := b.client.NetworkingV1().Ingresses(namespace)
	_, err = ingresses.Create(ctx, &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Name: service},
		Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{{
			Host: ingressHost,
			IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{
				Path: "/", PathType: ptr.To(networkingv1.PathTypePrefix),
				Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
					Name: service, Port: networkingv1.ServiceBackendPort{Name: portName},
				}},
			}}}},
		}}},
	}, metav1.CreateOptions{})
	if err != nil {
		return 0, func() {}, err
	}
	remove = func() { _ = ingresses.Delete(context.WithoutCancel(ctx), service, metav1.DeleteOptions{}) }
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		now, err := ingresses.Get(ctx, service, metav1.GetOptions{})
		if err != nil {
			return 0, remove, err
		}
		if at := now.Status.LoadBalancer.Ingress; len(at) > 0 {
			port = 80
			if len(at[0].Ports) > 0 {
				port = at[0].Ports[0].Port
			}
			return port, remove, awaitOK(ctx, fmt.Sprintf("http://127.0.0.1:%d/", port), ingressHost)
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return 0, remove, err
		}
	}
	return 0, remove, errors.New("the Ingress has no address after 30 seconds")
}

// nginx starts Debian's nginx as a reverse proxy for backends. The error says why there is none.
func (b *bench) nginx(ctx context.Context, backends []string) (port int32, stop func(), err error) {
	binary, err := found("nginx")
	if err != nil {
		return 0, func() {}, err
	}
	free, err := freePort()
	if err != nil {
		return 0, func() {}, err
	}
	dir := filepath.Join(b.home, "nginx")
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o755); err != nil {
		return 0, func() {}, err
	}
	var temps strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temps, "  %s_temp_path %s/tmp/%s;\n", kind, dir, kind)
	}
	config := fmt.Sprintf(`pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
worker_processes auto;
events { worker_connections 1024; }
http {
  access_log %[1]s/access.log;
%[2]s  upstream pods { server %[3]s; keepalive 64; }
  server {
    listen 127.0.0.1:%[4]d;
    location / {
      proxy_pass http://pods;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
    }
  }
}
`, dir, temps.String(), strings.Join(backends, "; server "), free)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return 0, func() {}, err
	}
	command := exec.CommandContext(ctx, binary, "-c", file, "-p", dir, "-e", filepath.Join(dir, "error.log"), "-g", "daemon off;")
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	if err := command.Start(); err != nil {
		return 0, func() {}, err
	}
	stop = func() { _ = command.Process.Signal(os.Interrupt); _ = command.Wait() }
	if err := awaitOK(ctx, fmt.Sprintf("http://127.0.0.1:%d/", free), ingressHost); err != nil {
		raw, _ := os.ReadFile(filepath.Join(dir, "error.log"))
		stop()
		return 0, func() {}, fmt.Errorf("nginx: %w: %s", err, raw)
	}
	return int32(free), stop, nil
}

// found looks a peer up, also where only root's PATH goes.
func found(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	path := filepath.Join("/usr/sbin", name)
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return path, nil
	}
	return "", fmt.Errorf("%s is not installed here", name)
}

// reachable reports whether an address takes TCP connections.
func reachable(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
