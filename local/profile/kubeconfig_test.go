package profile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

// Starts that came at once failed at kubectl's lock, or took each other's contexts out again.
func TestProfilesThatMergeAtOnceAllHaveTheirContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	t.Setenv("KUBECONFIG", path)
	home := t.TempDir()
	creds := Credentials{Server: "https://127.0.0.1:7443", CACert: []byte("ca"), ClientCert: []byte("cert"), ClientKey: []byte("key")}
	const profiles = 20
	var merges sync.WaitGroup
	for i := range profiles {
		p, err := Open(home, fmt.Sprint("p", i))
		if err != nil {
			t.Fatal(err)
		}
		merges.Go(func() {
			if _, _, err := p.MergeKubeconfig(creds, false); err != nil {
				t.Error(err)
			}
		})
	}
	merges.Wait()
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(config.Contexts) != profiles || len(config.Clusters) != profiles || len(config.AuthInfos) != profiles {
		t.Errorf("%d contexts, %d clusters and %d users of %d", len(config.Contexts), len(config.Clusters), len(config.AuthInfos), profiles)
	}
}

func TestAKubeconfigThatAnotherProgramWritesIsWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	t.Setenv("KUBECONFIG", path)
	if err := os.WriteFile(path+".lock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { _ = os.Remove(path + ".lock") })
	if _, _, err := open(t, "blue").MergeKubeconfig(Credentials{Server: "https://127.0.0.1:7443"}, true); err != nil {
		t.Fatal(err)
	}
	if config, err := clientcmd.LoadFromFile(path); err != nil || config.Contexts["skiff-blue"] == nil {
		t.Errorf("nothing was written: %v", err)
	}
}

func TestAnAliasGoesWhereItsContextGoes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	t.Setenv("KUBECONFIG", path)
	const mine = `apiVersion: v1
kind: Config
clusters: [{name: prod, cluster: {server: "https://prod"}}]
users: [{name: me, user: {token: secret}}]
contexts: [{name: prod, context: {cluster: prod, user: me}}]
`
	if err := os.WriteFile(path, []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	p := open(t, "blue")
	creds := Credentials{Server: "https://127.0.0.1:7443", CACert: []byte("ca"), ClientCert: []byte("cert"), ClientKey: []byte("key")}
	for range 2 {
		if _, err := p.AddAlias(creds, "docker-desktop", true); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.AddAlias(creds, "prod", true); !errors.Is(err, ErrTaken) {
		t.Errorf("the name of another cluster: %v", err)
	}
	// Another port, as after a start that found its own taken.
	creds.Server = "https://127.0.0.1:7450"
	name, _, err := p.MergeKubeconfig(creds, true)
	if err != nil || name != "docker-desktop" {
		t.Errorf("MergeKubeconfig = %q, %v, want the alias to stay current", name, err)
	}
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cluster, context := config.Clusters["docker-desktop"], config.Contexts["docker-desktop"]
	if cluster == nil || cluster.Server != creds.Server || context == nil || context.AuthInfo != "skiff-blue" || config.CurrentContext != "docker-desktop" {
		t.Errorf("the alias is %+v, of cluster %+v, and the current context %q", context, cluster, config.CurrentContext)
	}
	if config.Contexts["skiff-blue"] == nil || config.Clusters["prod"].Server != "https://prod" {
		t.Error("the profile's own context is gone, or the other cluster's changed")
	}

	if err := p.RemoveFromKubeconfig(); err != nil {
		t.Fatal(err)
	}
	config, err = clientcmd.LoadFromFile(path)
	if err != nil || len(config.Contexts) != 1 || len(config.Clusters) != 1 || len(config.AuthInfos) != 1 || config.CurrentContext != "" {
		t.Errorf("after the removal: %+v, %v", config, err)
	}
}
