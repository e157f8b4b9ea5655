package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/probe"
	httpprobe "k8s.io/kubernetes/pkg/probe/http"
)

// maxOutput is how much of a command's output ends up in an event.
const maxOutput = 10 * 1024

// check probes once. A Warning is a success with something to tell.
func check(ctx context.Context, spec *v1.Probe, target Target, timeout time.Duration) (probe.Result, string) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	switch {
	case spec.Exec != nil:
		return resultOf(checkExec(ctx, spec.Exec.Command, target, timeout))
	case spec.HTTPGet != nil:
		return checkHTTP(ctx, spec.HTTPGet, target)
	case spec.TCPSocket != nil:
		return resultOf(checkTCP(ctx, spec.TCPSocket, target))
	case spec.GRPC != nil:
		return resultOf(checkGRPC(ctx, spec.GRPC, target, timeout))
	}
	return probe.Failure, "missing probe handler"
}

func resultOf(ok bool, message string) (probe.Result, string) {
	if ok {
		return probe.Success, message
	}
	return probe.Failure, message
}

func checkExec(ctx context.Context, command []string, target Target, timeout time.Duration) (bool, string) {
	code, output, err := target.Exec(ctx, command)
	if len(output) > maxOutput {
		output = output[:maxOutput]
	}
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return false, fmt.Sprintf("command timed out: %q timed out after %s", command, timeout)
	case err != nil:
		return false, err.Error()
	case code != 0:
		return false, string(output)
	}
	return true, string(output)
}

// HTTPGet performs the request of a probe or a lifecycle hook. Certificates aren't verified, as the API specifies.
func HTTPGet(ctx context.Context, action *v1.HTTPGetAction, target Target, purpose string) (ok bool, message string) {
	result, message := httpGet(ctx, action, target, purpose)
	return result != probe.Failure, message
}

func httpGet(ctx context.Context, action *v1.HTTPGetAction, target Target, purpose string) (probe.Result, string) {
	req, err := httpprobe.NewRequestForHTTPGetAction(action, target.Container, target.PodIP, purpose)
	if err != nil {
		return probe.Failure, err.Error()
	}
	transport := &http.Transport{
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // probes don't verify, by specification
		DisableKeepAlives:  true,
		DisableCompression: true,
		Proxy:              nil,
		DialContext:        target.Dial,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: httpprobe.RedirectChecker(false)}
	result, message, err := httpprobe.DoHTTPProbe(req.WithContext(ctx), client)
	if err != nil {
		return probe.Failure, err.Error()
	}
	return result, message
}

func checkHTTP(ctx context.Context, action *v1.HTTPGetAction, target Target) (probe.Result, string) {
	result, message := httpGet(ctx, action, target, "probe")
	if result == probe.Failure && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		message = fmt.Sprintf("Get %q: context deadline exceeded (Client.Timeout exceeded while awaiting headers)", displayURL(action, target))
	}
	return result, message
}

func displayURL(action *v1.HTTPGetAction, target Target) string {
	req, err := httpprobe.NewRequestForHTTPGetAction(action, target.Container, target.PodIP, "probe")
	if err != nil {
		return (&url.URL{Path: action.Path}).String()
	}
	return req.URL.String()
}

func checkTCP(ctx context.Context, action *v1.TCPSocketAction, target Target) (bool, string) {
	port, err := probe.ResolveContainerPort(action.Port, target.Container)
	if err != nil {
		return false, err.Error()
	}
	host := action.Host
	if host == "" {
		host = target.PodIP
	}
	conn, err := target.Dial(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return false, err.Error()
	}
	_ = conn.Close()
	return true, ""
}
