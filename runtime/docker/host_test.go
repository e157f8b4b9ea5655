package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// home is a home directory with docker's configuration in it.
type home struct {
	t   *testing.T
	dir string
}

func (h home) write(rel, text string) {
	h.t.Helper()
	path := filepath.Join(h.dir, filepath.FromSlash(rel))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h home) context(name, meta string) string {
	sum := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(sum[:])
	h.write(".docker/contexts/meta/"+id+"/meta.json", meta)
	return id
}

func TestTheEngineIsFoundWhereDockerFindsIt(t *testing.T) {
	h := home{t, t.TempDir()}
	h.context("remote", `{"Name":"remote","Endpoints":{"docker":{"Host":"ssh://dev@box"}}}`)
	id := h.context("secure", `{"Name":"secure","Endpoints":{"docker":{"Host":"tcp://box:2376","SkipTLSVerify":true}}}`)
	h.write(".docker/contexts/tls/"+id+"/docker/ca.pem", "ca")
	h.context("hostless", `{"Name":"hostless","Endpoints":{}}`)
	h.context("broken", `{`)
	for name, c := range map[string]struct {
		opts     Options
		env      map[string]string
		config   string
		want     string
		source   string
		tls      bool
		errSays  string
		hintSays string
	}{
		"the option wins":               {opts: Options{Host: "tcp://a:1"}, env: map[string]string{"DOCKER_HOST": "tcp://b:1"}, want: "tcp://a:1", source: "the host option"},
		"then DOCKER_HOST":              {env: map[string]string{"DOCKER_HOST": "tcp://b:1", "DOCKER_CONTEXT": "remote"}, want: "tcp://b:1", source: "DOCKER_HOST"},
		"then DOCKER_CONTEXT":           {env: map[string]string{"DOCKER_CONTEXT": "remote"}, config: `{"currentContext":"secure"}`, want: "ssh://dev@box", source: "DOCKER_CONTEXT"},
		"then the current context":      {config: `{"currentContext":"secure"}`, want: "tcp://box:2376", source: "docker context secure", tls: true},
		"DOCKER_TLS_VERIFY means TLS":   {env: map[string]string{"DOCKER_HOST": "tcp://b:1", "DOCKER_TLS_VERIFY": "1"}, want: "tcp://b:1", source: "DOCKER_HOST", tls: true},
		"TLS is not for local sockets":  {env: map[string]string{"DOCKER_HOST": "unix:///x.sock", "DOCKER_TLS_VERIFY": "1"}, want: "unix:///x.sock", source: "DOCKER_HOST"},
		"nonsense is refused":           {env: map[string]string{"DOCKER_HOST": "box:2375"}, errSays: "box:2375", hintSays: "DOCKER_HOST"},
		"an unknown scheme is refused":  {env: map[string]string{"DOCKER_HOST": "ftp://box"}, errSays: "not an address"},
		"a missing context is named":    {env: map[string]string{"DOCKER_CONTEXT": "gone"}, errSays: "gone", hintSays: "docker context ls"},
		"a context without a host":      {env: map[string]string{"DOCKER_CONTEXT": "hostless"}, errSays: "names no Docker host"},
		"a broken context says so":      {env: map[string]string{"DOCKER_CONTEXT": "broken"}, errSays: "meta.json"},
		"a broken configuration too":    {config: `{`, errSays: "config.json", hintSays: "DOCKER_HOST"},
		"DOCKER_HOST passes it by":      {config: `{`, env: map[string]string{"DOCKER_HOST": "tcp://b:1"}, want: "tcp://b:1", source: "DOCKER_HOST"},
		"the default context is no one": {config: `{"currentContext":"default"}`, env: map[string]string{"DOCKER_HOST": "tcp://c:1"}, want: "tcp://c:1", source: "DOCKER_HOST"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(h.dir, ".docker", "config.json")
			_ = os.Remove(path)
			if c.config != "" {
				h.write(".docker/config.json", c.config)
			}
			opts := c.opts
			opts.Home, opts.Env = h.dir, func(k string) string { return c.env[k] }
			ep, err := resolveEndpoint(opts)
			if c.errSays != "" {
				if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.errSays) || !strings.Contains(Hint(err), c.hintSays) {
					t.Fatalf("got %v, hint %q", err, Hint(err))
				}
				return
			}
			if err != nil || ep.host != c.want || ep.source != c.source || (ep.tls != nil) != c.tls {
				t.Errorf("got %+v, %v", ep, err)
			}
		})
	}
}

func TestWellKnownSocketsAreAskedInOrder(t *testing.T) {
	env := map[string]string{"XDG_RUNTIME_DIR": "/run/user/1000", "COLIMA_HOME": "/c"}
	paths := func(goos string) (out []string) {
		for _, s := range wellKnownSockets(goos, func(k string) string { return env[k] }, "/home/me") {
			out = append(out, filepath.ToSlash(s.path))
		}
		return out
	}
	linux, darwin := paths("linux"), paths("darwin")
	if linux[0] != "/run/user/1000/docker.sock" {
		t.Errorf("rootless engines come first on Linux: %v", linux)
	}
	if slices.Contains(darwin, "/run/user/1000/docker.sock") || darwin[0] != "/home/me/.docker/run/docker.sock" {
		t.Errorf("Docker Desktop comes first on macOS: %v", darwin)
	}
	if slices.Index(darwin, "/c/default/docker.sock") < 0 || slices.Index(darwin, "/home/me/.colima/default/docker.sock") < 0 {
		t.Errorf("Colima is missing: %v", darwin)
	}
}

func TestASocketThatThisUserMayNotUseIsPassedBy(t *testing.T) {
	def := knownSocket{"/var/run/docker.sock", "default"}
	others := []knownSocket{{"/run/user/1/docker.sock", "rootless"}, {"/home/me/desktop.sock", "desktop"}}
	refused := errors.New("connection refused")
	for name, c := range map[string]struct {
		states map[string]error
		want   endpoint
	}{
		"the default one answers":      {map[string]error{}, endpoint{host: "unix:///var/run/docker.sock", source: "default"}},
		"a stopped engine is not left": {map[string]error{def.path: refused}, endpoint{host: "unix:///var/run/docker.sock", source: "default"}},
		"it does not exist":            {map[string]error{def.path: fs.ErrNotExist}, endpoint{host: "unix:///run/user/1/docker.sock", source: "rootless"}},
		"it is for others": {
			map[string]error{def.path: fs.ErrPermission},
			endpoint{host: "unix:///run/user/1/docker.sock", source: "rootless, since you may not use /var/run/docker.sock"},
		},
		"so is the next": {
			map[string]error{def.path: fs.ErrNotExist, others[0].path: fs.ErrPermission},
			endpoint{host: "unix:///home/me/desktop.sock", source: "desktop"},
		},
		"there is no other": {
			map[string]error{def.path: fs.ErrPermission, others[0].path: fs.ErrNotExist, others[1].path: fs.ErrNotExist},
			endpoint{host: "unix:///var/run/docker.sock", source: "default"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := chooseSocket(def, others, func(path string) error { return c.states[path] }); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestSSHArguments(t *testing.T) {
	for host, want := range map[string]string{
		"ssh://box":                "-o ConnectTimeout=30 -T -- box docker system dial-stdio",
		"ssh://me@box:2222":        "-o ConnectTimeout=30 -T -l me -p 2222 -- box docker system dial-stdio",
		"ssh://box/run/x.sock":     "-o ConnectTimeout=30 -T -- box docker --host unix:///run/x.sock system dial-stdio",
		"ssh://[::1]:22":           "-o ConnectTimeout=30 -T -p 22 -- ::1 docker system dial-stdio",
		"ssh://me:secret@box":      "",
		"ssh://":                   "",
		"ssh://-oProxyCommand=x/":  "",
		"ssh://box?x=y":            "",
		"ssh://box/a%20b;rm%20-rf": "",
	} {
		args, err := sshArgs(host)
		if got := strings.Join(args, " "); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v", host, got, err)
		}
	}
}
