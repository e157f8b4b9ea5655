package credential

import (
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/image"
)

func ref(t *testing.T, name string) image.Reference {
	t.Helper()
	r, err := image.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSecretsOpenTheRepositoriesTheyName(t *testing.T) {
	auth := base64.StdEncoding.EncodeToString([]byte("user:pass:word"))
	ring, err := FromSecrets([]v1.Secret{
		{Type: v1.SecretTypeOpaque, Data: map[string][]byte{"x": []byte("y")}},
		{Type: v1.SecretTypeDockerConfigJson, Data: map[string][]byte{v1.DockerConfigJsonKey: []byte(
			`{"auths":{"registry.example.com/team":{"auth":"` + auth + `"},"https://index.docker.io/v1/":{"username":"hub","password":"h"}}}`)}},
		{Type: v1.SecretTypeDockercfg, Data: map[string][]byte{v1.DockerConfigKey: []byte(`{"*.old.example.com":{"username":"old","password":"o"}}`)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"registry.example.com/team/app:1":  "user:pass:word",
		"registry.example.com/other/app:1": "",
		"nginx":                            "hub:h",
		"a.old.example.com/x":              "old:o",
	} {
		got := ""
		if found := ring.Lookup(t.Context(), ref(t, name)); len(found) > 0 {
			got = found[0].Username + ":" + found[0].Password
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestNoUsableSecretsIsNoKeyring(t *testing.T) {
	for _, secrets := range [][]v1.Secret{nil, {{Type: v1.SecretTypeOpaque}}} {
		if ring, err := FromSecrets(secrets); ring != nil || err != nil {
			t.Errorf("got %v, %v", ring, err)
		}
	}
	_, err := FromSecrets([]v1.Secret{{Type: v1.SecretTypeDockerConfigJson, Data: map[string][]byte{v1.DockerConfigJsonKey: []byte("{")}}})
	if err == nil {
		t.Error("a broken secret was accepted")
	}
}

func TestTheHostsConfigurationIsReadAsDockerDoes(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var asked []string
	host := NewHost(func(string) string { return dir }, "", nil)
	host.run = func(_ context.Context, helper, server string) ([]byte, error) {
		asked = append(asked, helper+" "+server)
		switch helper {
		case "token":
			return []byte(`{"Username":"<token>","Secret":"t"}`), nil
		case "empty":
			return []byte("credentials not found in native keychain\n"), errors.New("exit status 1")
		case "broken":
			return []byte("no keychain"), errors.New("exit status 1")
		}
		return []byte(`{"Username":"h","Secret":"s"}`), nil
	}
	auths := `"auths":{"reg.io":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("u:p")) + `"},"https://index.docker.io/v1/":{"username":"hub","password":"h"}}`
	for _, c := range []struct {
		config, image string
		want          []docker.RegistryAuth
		asked         []string
	}{
		{`{` + auths + `}`, "reg.io/x", []docker.RegistryAuth{{Username: "u", Password: "p", ServerAddress: "reg.io"}}, nil},
		{`{` + auths + `}`, "nginx", []docker.RegistryAuth{{Username: "hub", Password: "h", ServerAddress: dockerHub}}, nil},
		{`{` + auths + `}`, "other.io/x", nil, nil},
		{`{"credsStore":"all",` + auths + `}`, "reg.io/x", []docker.RegistryAuth{{Username: "h", Password: "s", ServerAddress: "reg.io"}}, []string{"all reg.io"}},
		{`{"credsStore":"all","credHelpers":{"reg.io":"token"}}`, "reg.io/x", []docker.RegistryAuth{{IdentityToken: "t", ServerAddress: "reg.io"}}, []string{"token reg.io"}},
		{`{"credsStore":"empty",` + auths + `}`, "nginx", []docker.RegistryAuth{{Username: "hub", Password: "h", ServerAddress: dockerHub}}, []string{"empty " + dockerHub}},
		{`{"credsStore":"broken",` + auths + `}`, "nginx", nil, []string{"broken " + dockerHub}},
		{`not json`, "nginx", nil, nil},
	} {
		write(c.config)
		asked = nil
		if got := host.Lookup(t.Context(), ref(t, c.image)); !slices.Equal(got, c.want) || !slices.Equal(asked, c.asked) {
			t.Errorf("%s for %s: got %+v, asked %q", c.config, c.image, got, asked)
		}
	}
}

func TestAHelpersNameIsNotAPath(t *testing.T) {
	if _, err := runHelper(t.Context(), "../evil", "x"); err == nil || !strings.Contains(err.Error(), "not the name") {
		t.Errorf("got %v", err)
	}
}
