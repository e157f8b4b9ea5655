package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/docker/docker/client"
)

// endpoint is where the engine is and how that was found out.
type endpoint struct {
	host   string
	source string
	tls    *tlsFiles
}

// tlsFiles are the PEM files of a TLS connection; empty names are left out.
type tlsFiles struct {
	ca, cert, key string
	insecure      bool
}

// advice is what to check when the address itself is unusable.
func (e endpoint) advice() string {
	return "check the address, which comes from " + e.source
}

// resolveEndpoint decides which engine to use. It asks none of them anything.
func resolveEndpoint(opts Options) (endpoint, error) {
	env := opts.Env
	if env == nil {
		env = os.Getenv
	}
	home := opts.Home
	if home == "" {
		home, _ = os.UserHomeDir()
	}
	if opts.Host != "" {
		return checkEndpoint(withEnvTLS(endpoint{host: opts.Host, source: "the host option"}, env, home))
	}
	if host := env("DOCKER_HOST"); host != "" {
		return checkEndpoint(withEnvTLS(endpoint{host: host, source: "DOCKER_HOST"}, env, home))
	}
	configDir := env("DOCKER_CONFIG")
	if configDir == "" && home != "" {
		configDir = filepath.Join(home, ".docker")
	}
	name, source := env("DOCKER_CONTEXT"), "DOCKER_CONTEXT"
	if name == "" {
		var err error
		if name, err = currentContext(configDir); err != nil {
			return endpoint{}, err
		}
		source = "docker context " + name
	}
	if name != "" && name != "default" {
		ep, err := contextEndpoint(configDir, name)
		if err != nil {
			return endpoint{}, err
		}
		ep.source = source
		return checkEndpoint(ep)
	}
	return withEnvTLS(defaultEndpoint(env, home), env, home), nil
}

// checkEndpoint refuses addresses that no transport exists for, before anything is dialled.
func checkEndpoint(ep endpoint) (endpoint, error) {
	scheme, rest, ok := strings.Cut(ep.host, "://")
	known := map[string]bool{"unix": true, "tcp": true, "http": true, "https": true, "npipe": true, "ssh": true, "fd": false}
	if !ok || rest == "" || !known[scheme] {
		return endpoint{}, &Error{
			Op: "use the Docker host", Object: fmt.Sprintf("%q", ep.host), Kind: ErrConfig,
			Text:   "not an address of the form unix://, tcp://, npipe:// or ssh://",
			Advice: ep.advice(),
		}
	}
	return ep, nil
}

// withEnvTLS applies DOCKER_TLS_VERIFY, DOCKER_TLS and DOCKER_CERT_PATH as the docker command does: for tcp only.
func withEnvTLS(ep endpoint, env func(string) string, home string) endpoint {
	verify, use := env("DOCKER_TLS_VERIFY") != "", env("DOCKER_TLS") != ""
	if (!verify && !use) || !strings.HasPrefix(ep.host, "tcp://") {
		return ep
	}
	dir := env("DOCKER_CERT_PATH")
	if dir == "" {
		dir = filepath.Join(home, ".docker")
	}
	ep.tls = &tlsFiles{insecure: !verify}
	ep.tls.find(dir)
	return ep
}

// find fills in the files that exist in dir.
func (t *tlsFiles) find(dir string) {
	for name, field := range map[string]*string{"ca.pem": &t.ca, "cert.pem": &t.cert, "key.pem": &t.key} {
		if path := filepath.Join(dir, name); exists(path) {
			*field = path
		}
	}
}

// currentContext reads the name of the current docker context; empty when there is none.
func currentContext(configDir string) (string, error) {
	if configDir == "" {
		return "", nil
	}
	path := filepath.Join(configDir, "config.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", configError("read", path, err)
	}
	var config struct {
		CurrentContext string `json:"currentContext"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return "", configError("parse", path, err)
	}
	return config.CurrentContext, nil
}

// contextEndpoint reads a docker context from docker's own store, where a context's directory is the SHA-256 of its name.
func contextEndpoint(configDir, name string) (endpoint, error) {
	sum := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(sum[:])
	path := filepath.Join(configDir, "contexts", "meta", id, "meta.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return endpoint{}, &Error{
			Op: "use docker context", Object: name, Kind: ErrConfig, Text: "there is no such context", Err: err,
			Advice: "see `docker context ls`, then `docker context use default` or set DOCKER_HOST",
		}
	}
	if err != nil {
		return endpoint{}, configError("read", path, err)
	}
	var meta struct {
		Endpoints map[string]struct {
			Host          string
			SkipTLSVerify bool
		}
	}
	if err := json.Unmarshal(data, &meta); err != nil {
		return endpoint{}, configError("parse", path, err)
	}
	docker := meta.Endpoints["docker"]
	if docker.Host == "" {
		return endpoint{}, &Error{Op: "use docker context", Object: name, Kind: ErrConfig, Text: "it names no Docker host"}
	}
	ep := endpoint{host: docker.Host}
	if tlsDir := filepath.Join(configDir, "contexts", "tls", id, "docker"); exists(tlsDir) || docker.SkipTLSVerify {
		ep.tls = &tlsFiles{insecure: docker.SkipTLSVerify}
		ep.tls.find(tlsDir)
	}
	return ep, nil
}

func configError(verb, path string, err error) error {
	return &Error{
		Op: verb + " docker's configuration", Object: path, Kind: ErrConfig, Err: err, Text: err.Error(),
		Advice: "repair the file, or set DOCKER_HOST",
	}
}

// defaultEndpoint is the platform's default socket, or the first well-known one that this user may open when that one doesn't
// exist or is not for this user: somebody with a rootless engine often has a machine's own beside it.
func defaultEndpoint(env func(string) string, home string) endpoint {
	def := endpoint{host: client.DefaultDockerHost, source: "the default socket"}
	path, isUnix := strings.CutPrefix(def.host, "unix://")
	if !isUnix {
		return def
	}
	return chooseSocket(knownSocket{path, def.source}, wellKnownSockets(runtime.GOOS, env, home), openSocket)
}

// chooseSocket takes a socket that this user may open, answering or not: guessing on would hide a stopped engine behind
// another one. open fails with fs.ErrNotExist or fs.ErrPermission for those that are passed by.
func chooseSocket(def knownSocket, others []knownSocket, open func(path string) error) endpoint {
	passed := func(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) }
	chosen, err := def, open(def.path)
	if passed(err) {
		for _, other := range others {
			if passed(open(other.path)) {
				continue
			}
			if chosen = other; errors.Is(err, fs.ErrPermission) {
				chosen.owner += ", since you may not use " + def.path
			}
			break
		}
	}
	return endpoint{host: "unix://" + chosen.path, source: chosen.owner}
}

func openSocket(path string) error {
	conn, err := net.Dial("unix", path)
	if err == nil {
		_ = conn.Close()
	}
	return err
}

type knownSocket struct{ path, owner string }

// wellKnownSockets lists where engines that don't own /var/run/docker.sock put their sockets, in order of preference.
func wellKnownSockets(goos string, env func(string) string, home string) []knownSocket {
	var sockets []knownSocket
	add := func(base, rel, owner string) {
		if base != "" {
			sockets = append(sockets, knownSocket{filepath.Join(base, filepath.FromSlash(rel)), owner})
		}
	}
	if goos == "linux" {
		add(env("XDG_RUNTIME_DIR"), "docker.sock", "the rootless engine's socket")
		add(home, ".docker/desktop/docker.sock", "Docker Desktop's socket")
	}
	add(home, ".docker/run/docker.sock", "Docker Desktop's socket")
	if colima := env("COLIMA_HOME"); colima != "" {
		add(colima, "default/docker.sock", "Colima's socket")
	}
	add(home, ".colima/default/docker.sock", "Colima's socket")
	add(home, ".config/colima/default/docker.sock", "Colima's socket")
	add(home, ".orbstack/run/docker.sock", "OrbStack's socket")
	add(home, ".rd/docker.sock", "Rancher Desktop's socket")
	add(home, ".lima/docker/sock/docker.sock", "Lima's socket")
	return sockets
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// noEngineAdvice is the next step when nothing answers at host.
func noEngineAdvice(host string) string {
	switch {
	case strings.HasPrefix(host, "ssh://"), strings.HasPrefix(host, "tcp://"):
		return "check that the engine runs there and that `docker -H " + host + " version` works"
	case runtime.GOOS == "linux":
		return "start it with `sudo systemctl start docker` (or `sudo service docker start`); install it if it is missing; set DOCKER_HOST if it listens elsewhere"
	default:
		return "start Docker Desktop, Colima or another Docker Engine, or set DOCKER_HOST if it listens elsewhere"
	}
}

// permissionAdvice is the next step when the socket refuses this user.
func permissionAdvice(host string) string {
	if strings.HasPrefix(host, "unix://") && runtime.GOOS == "linux" {
		return "add yourself to the docker group with `sudo usermod -aG docker $USER` and log in again"
	}
	return "run as a user who may use the engine at " + host
}
