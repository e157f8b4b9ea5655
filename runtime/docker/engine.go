package docker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/docker/docker/client"
	"github.com/docker/go-connections/tlsconfig"
)

// MinAPIVersion is the oldest engine API that skiff speaks: Docker Engine 20.10.
const MinAPIVersion = "1.41"

const userAgent = "skiff"

// idleConnections is how many connections to the engine are kept for reuse. Chosen: about as many requests as skiff has
// in flight when thirty pods start together; a new unix connection costs little, a new TLS or ssh one does not.
const idleConnections = 32

// Engine is a connection to a Docker Engine. It is safe for concurrent use and holds one pool of connections.
type Engine struct {
	cli      *client.Client
	host     string
	source   string
	tls      bool
	features Features
	counts   atomic.Pointer[bool] // see CountsUsage
}

// Options says where the engine is. The zero value asks the environment as docker itself would.
type Options struct {
	// Host is an address like unix:///var/run/docker.sock, tcp://…, npipe://… or ssh://…. It wins over everything.
	Host string
	// Env and Home stand in for the process's environment and home directory in tests.
	Env  func(string) string
	Home string
}

// Connect finds the engine, checks that it answers, and agrees on an API version. The order is docker's: Options.Host,
// DOCKER_HOST, DOCKER_CONTEXT, the current context of docker's configuration, the platform's default socket; and beyond
// docker, when that socket does not exist or refuses this user, the well-known sockets of Docker Desktop, rootless engines, Colima and others.
// Errors are ErrNoEngine, ErrPermission, ErrTooOld or ErrConfig, each with a hint.
func Connect(ctx context.Context, opts Options) (*Engine, error) {
	ep, err := resolveEndpoint(opts)
	if err != nil {
		return nil, err
	}
	e := &Engine{host: ep.host, source: ep.source, tls: ep.tls != nil || strings.HasPrefix(ep.host, "https://")}
	if e.cli, err = newClient(ep); err != nil {
		return nil, &Error{Op: "connect to", Object: ep.host, Kind: ErrConfig, Err: err, Text: err.Error(), Advice: ep.advice()}
	}
	if err := e.negotiate(ctx); err != nil {
		_ = e.cli.Close()
		return nil, err
	}
	return e, nil
}

func newClient(ep endpoint) (*client.Client, error) {
	transport := &http.Transport{
		MaxIdleConns:        idleConnections,
		MaxIdleConnsPerHost: idleConnections,
		// The engine has no idle limit of its own; the daemon lives for days and must not sit on dead connections.
		IdleConnTimeout: 90 * time.Second,
	}
	clientOpts := []client.Opt{
		client.WithHTTPClient(&http.Client{Transport: transport, CheckRedirect: client.CheckRedirect}),
		client.WithUserAgent(userAgent),
	}
	if strings.HasPrefix(ep.host, "ssh://") {
		dial, err := sshDialer(ep.host)
		if err != nil {
			return nil, err
		}
		// The host only names the connection here; every byte goes through the dialer.
		clientOpts = append(clientOpts, client.WithHost("http://"+client.DummyHost), client.WithDialContext(dial))
		cli, err := client.NewClientWithOpts(clientOpts...)
		// A proxy for the web is none for a connection that ssh makes.
		transport.Proxy = nil
		return cli, err
	}
	clientOpts = append(clientOpts, client.WithHost(ep.host))
	if ep.tls != nil {
		config, err := ep.tls.config()
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = config
		clientOpts = append(clientOpts, client.WithScheme("https"))
	}
	return client.NewClientWithOpts(clientOpts...)
}

// config builds the TLS client configuration; any of the files may be absent.
func (t *tlsFiles) config() (*tls.Config, error) {
	return tlsconfig.Client(tlsconfig.Options{
		CAFile: t.ca, CertFile: t.cert, KeyFile: t.key,
		InsecureSkipVerify: t.insecure, ExclusiveRootPools: t.ca != "",
	})
}

func (e *Engine) negotiate(ctx context.Context) error {
	ping, err := e.cli.Ping(ctx)
	if err != nil {
		err = e.convert(err, "reach the Docker Engine at", e.host)
		var ours *Error
		if errors.As(err, &ours) && ours.Kind != nil && ours.Advice == "" {
			// Something answers that is no engine, or not in this way: TLS spoken to in plain text, for one.
			ours.Also = ErrNoEngine
			ours.Advice = "check the address, which comes from " + e.source + ", and whether it needs DOCKER_TLS_VERIFY and DOCKER_CERT_PATH"
		}
		return err
	}
	if !atLeast(ping.APIVersion, MinAPIVersion) {
		spoken := ping.APIVersion
		if spoken == "" {
			spoken = "an unknown version"
		}
		return &Error{
			Op: "use the Docker Engine at", Object: e.host, Kind: ErrTooOld,
			Text:   fmt.Sprintf("it speaks API %s and skiff needs %s or newer", spoken, MinAPIVersion),
			Advice: "upgrade to Docker Engine 20.10 or newer",
		}
	}
	if ping.OSType != "" && ping.OSType != "linux" {
		return &Error{
			Op: "use the Docker Engine at", Object: e.host, Kind: ErrUnsupported,
			Text:   "it runs " + ping.OSType + " containers and skiff needs Linux containers",
			Advice: "switch Docker Desktop to Linux containers",
		}
	}
	e.cli.NegotiateAPIVersionPing(ping)
	e.features = featuresOf(e.cli.ClientVersion())
	return nil
}

func featuresOf(api string) Features {
	return Features{
		StopWithSignal:    atLeast(api, "1.42"),
		Annotations:       atLeast(api, "1.43"),
		RecursiveReadOnly: atLeast(api, "1.44"),
		EndpointMAC:       atLeast(api, "1.44"),
		VolumeSubpath:     atLeast(api, "1.45"),
		TmpfsOptions:      atLeast(api, "1.46"),
		ImageMounts:       atLeast(api, "1.48"),
	}
}

// atLeast compares API versions of the form major.minor; anything else is older than everything.
func atLeast(version, minimum string) bool {
	major, minor, ok := apiVersion(version)
	if !ok {
		return false
	}
	wantMajor, wantMinor, _ := apiVersion(minimum)
	return major > wantMajor || major == wantMajor && minor >= wantMinor
}

func apiVersion(s string) (major, minor int, ok bool) {
	a, b, found := strings.Cut(s, ".")
	major, errMajor := strconv.Atoi(a)
	minor, errMinor := strconv.Atoi(b)
	return major, minor, found && errMajor == nil && errMinor == nil
}

// Close drops idle connections. Streams that are open stay open.
func (e *Engine) Close() error { return e.cli.Close() }

// Host is the engine's address.
func (e *Engine) Host() string { return e.host }

// HostSource says where the address came from: "DOCKER_HOST", "docker context colima", "default socket"…
func (e *Engine) HostSource() string { return e.source }

// APIVersion is the version both sides agreed on.
func (e *Engine) APIVersion() string { return e.cli.ClientVersion() }

// Features says what this engine can express.
func (e *Engine) Features() Features { return e.features }

// Local reports whether the engine's address is one on this machine. An engine inside a local virtual machine (Docker
// Desktop, Colima) is local in this sense, yet its containers' addresses can't be dialled from here.
func (e *Engine) Local() bool {
	return strings.HasPrefix(e.host, "unix://") || strings.HasPrefix(e.host, "npipe://")
}

// isDialFailure recognises the failures of connections that the SDK hijacks: it dials those itself and does not mark
// them as connection failures.
func isDialFailure(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
