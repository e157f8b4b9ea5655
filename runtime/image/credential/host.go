package credential

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/image"
)

// helperTimeout bounds a credential helper, which may ask a keychain or a cloud. Chosen.
const helperTimeout = 20 * time.Second

// Host is docker's own configuration. It is read anew for each pull: `docker login` takes effect at once.
type Host struct {
	// Dir is docker's configuration directory.
	Dir string
	Log *slog.Logger
	// run stands in for the helper programs in tests.
	run func(ctx context.Context, helper, server string) ([]byte, error)
}

// NewHost returns the keyring of the configuration that docker itself would use: DOCKER_CONFIG, or ~/.docker.
func NewHost(env func(string) string, home string, log *slog.Logger) *Host {
	dir := env("DOCKER_CONFIG")
	if dir == "" {
		dir = filepath.Join(home, ".docker")
	}
	return &Host{Dir: dir, Log: log, run: runHelper}
}

// config is the part of docker's configuration that is about credentials.
type config struct {
	Auths map[string]struct {
		Auth          string `json:"auth"`
		Username      string `json:"username"`
		Password      string `json:"password"`
		IdentityToken string `json:"identitytoken"`
		RegistryToken string `json:"registrytoken"`
	} `json:"auths"`
	CredsStore  string            `json:"credsStore"`
	CredHelpers map[string]string `json:"credHelpers"`
}

// Lookup returns at most one credential: docker has one per registry. A configuration or a helper that fails is logged
// and counts as having none: the pull then says whether one was needed.
func (h *Host) Lookup(ctx context.Context, ref image.Reference) []docker.RegistryAuth {
	auth, err := h.lookup(ctx, ref.Registry)
	if err != nil && h.Log != nil {
		h.Log.Warn("docker's registry credentials can't be used", "registry", ref.Registry, "error", err)
	}
	if auth == (docker.RegistryAuth{}) {
		return nil
	}
	auth.ServerAddress = serverAddress(ref.Registry)
	return []docker.RegistryAuth{auth}
}

func (h *Host) lookup(ctx context.Context, registry string) (docker.RegistryAuth, error) {
	path := filepath.Join(h.Dir, "config.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return docker.RegistryAuth{}, nil
	}
	if err != nil {
		return docker.RegistryAuth{}, fmt.Errorf("read docker's configuration: %w", err)
	}
	var c config
	if err := json.Unmarshal(data, &c); err != nil {
		return docker.RegistryAuth{}, fmt.Errorf("parse %s: %w", path, err)
	}
	// docker's order: the registry's own helper, then the store for all, then what is in the file.
	helper := c.CredsStore
	for key, name := range c.CredHelpers {
		if sameRegistry(key, registry) {
			helper = name
		}
	}
	if helper != "" {
		auth, err := h.fromHelper(ctx, helper, serverAddress(registry))
		if err != nil || auth != (docker.RegistryAuth{}) {
			return auth, err
		}
	}
	for key, a := range c.Auths {
		if !sameRegistry(key, registry) {
			continue
		}
		auth := docker.RegistryAuth{Username: a.Username, Password: a.Password, IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken}
		if a.Auth != "" {
			if auth.Username, auth.Password, err = decodeAuth(a.Auth); err != nil {
				return docker.RegistryAuth{}, fmt.Errorf("parse %s: auth of %s: %w", path, key, err)
			}
		}
		return auth, nil
	}
	return docker.RegistryAuth{}, nil
}

func decodeAuth(s string) (user, password string, err error) {
	data, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return "", "", err
	}
	user, password, ok := strings.Cut(string(data), ":")
	if !ok {
		return "", "", errors.New("not of the form user:password")
	}
	return user, strings.TrimRight(password, "\x00"), nil
}

// fromHelper asks a docker-credential-… program. One that has nothing for the server says so with an exit code and a
// fixed text on its output; any other failure looks the same but for the text, which is what is reported.
func (h *Host) fromHelper(ctx context.Context, helper, server string) (docker.RegistryAuth, error) {
	out, err := h.run(ctx, helper, server)
	if err != nil {
		// The protocol has no other way to tell "nothing here" apart.
		if bytes.Contains(out, []byte("credentials not found")) {
			return docker.RegistryAuth{}, nil
		}
		return docker.RegistryAuth{}, fmt.Errorf("run docker-credential-%s: %w: %s", helper, err, bytes.TrimSpace(out))
	}
	var answer struct{ Username, Secret string }
	if err := json.Unmarshal(out, &answer); err != nil {
		return docker.RegistryAuth{}, fmt.Errorf("parse the answer of docker-credential-%s: %w", helper, err)
	}
	if answer.Username == "<token>" {
		return docker.RegistryAuth{IdentityToken: answer.Secret}, nil
	}
	return docker.RegistryAuth{Username: answer.Username, Password: answer.Secret}, nil
}

func runHelper(ctx context.Context, helper, server string) ([]byte, error) {
	if helper != filepath.Base(helper) {
		return nil, fmt.Errorf("%q is not the name of a credential helper", helper)
	}
	ctx, cancel := context.WithTimeout(ctx, helperTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker-credential-"+helper, "get")
	cmd.Stdin = strings.NewReader(server)
	return cmd.Output()
}
