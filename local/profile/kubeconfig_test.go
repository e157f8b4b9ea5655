package profile

import (
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
			if _, err := p.MergeKubeconfig(creds, false); err != nil {
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
	if _, err := open(t, "blue").MergeKubeconfig(Credentials{Server: "https://127.0.0.1:7443"}, true); err != nil {
		t.Fatal(err)
	}
	if config, err := clientcmd.LoadFromFile(path); err != nil || config.Contexts["skiff-blue"] == nil {
		t.Errorf("nothing was written: %v", err)
	}
}
