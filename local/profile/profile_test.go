package profile

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

func open(t *testing.T, name string) *Profile {
	t.Helper()
	p, err := Open(t.TempDir(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.MakeDir(); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"skiff": true, "a": true, "a-b-1": true, "": false, "-a": false, "a-": false, "A": false, "a.b": false, "../x": false, "a/b": false,
		"a123456789012345678901234567890123456789":  true,
		"a1234567890123456789012345678901234567890": false,
	} {
		_, err := Open("/tmp", name)
		if (err == nil) != ok {
			t.Errorf("Open(%q) = %v, want ok %v", name, err, ok)
		}
		if err != nil && !errors.Is(err, ErrName) {
			t.Errorf("Open(%q) = %v, want ErrName", name, err)
		}
	}
}

func TestLockIsHeldOnce(t *testing.T) {
	p := open(t, "skiff")
	if p.Running() {
		t.Fatal("a profile nobody locked counts as running")
	}
	release, err := p.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if !p.Running() {
		t.Error("a locked profile does not count as running")
	}
	if _, err := p.Lock(); !errors.Is(err, ErrRunning) {
		t.Errorf("second Lock = %v, want ErrRunning", err)
	}
	release()
	if p.Running() {
		t.Error("a released profile counts as running")
	}
}

func TestAskingWhetherADaemonRunsNeverKeepsOneFromStarting(t *testing.T) {
	p := open(t, "skiff")
	done := make(chan struct{})
	var askers sync.WaitGroup
	for range 4 {
		askers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					p.Running()
				}
			}
		})
	}
	for range 300 {
		release, err := p.Lock()
		if err != nil {
			t.Errorf("Lock = %v", err)
			break
		}
		release()
	}
	close(done)
	askers.Wait()
}

func TestADeletedProfileLeavesNothingAndItsLockIsNobodysAfterwards(t *testing.T) {
	home := t.TempDir()
	p, err := Open(home, "skiff")
	if err != nil {
		t.Fatal(err)
	}
	if p.Running(); len(entries(t, home)) > 0 {
		t.Errorf("asking left %v", entries(t, home))
	}
	// Each deletes what it locked, as `skiff delete` does; whoever holds the lock must be the only one.
	var holders atomic.Int32
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 100 {
				release, err := p.Lock()
				if errors.Is(err, ErrRunning) {
					continue
				}
				if err != nil {
					t.Errorf("Lock = %v", err)
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d hold the lock", n)
				}
				holders.Add(-1)
				err = p.Remove()
				release()
				if err != nil {
					t.Errorf("Remove = %v", err)
				}
			}
		})
	}
	group.Wait()
	if left := entries(t, home); len(left) > 0 && runtime.GOOS != "windows" {
		t.Errorf("left: %v", left)
	}
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range found {
		names = append(names, e.Name())
	}
	return names
}

func TestSettingsSurviveARoundTripAndNameDamage(t *testing.T) {
	p := open(t, "skiff")
	if _, ok, err := p.ReadSettings(); ok || err != nil {
		t.Fatalf("ReadSettings of a new profile = %v, %v", ok, err)
	}
	if err := p.WriteSettings(Settings{APIPort: 7443, Nodes: 2}); err != nil {
		t.Fatal(err)
	}
	s, ok, err := p.ReadSettings()
	if !ok || err != nil || s.APIPort != 7443 || s.Nodes != 2 {
		t.Fatalf("ReadSettings = %+v, %v, %v", s, ok, err)
	}
	if err := os.WriteFile(filepath.Join(p.Dir, settingsFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.ReadSettings(); err == nil {
		t.Error("a damaged settings file is read without an error")
	}
}

func TestMergeKubeconfigKeepsWhatTheUserHas(t *testing.T) {
	first := filepath.Join(t.TempDir(), "missing")
	second := filepath.Join(t.TempDir(), "config")
	t.Setenv("KUBECONFIG", first+string(filepath.ListSeparator)+second)
	const mine = `apiVersion: v1
kind: Config
clusters: [{name: prod, cluster: {server: "https://prod"}}]
users: [{name: me, user: {token: secret}}]
contexts: [{name: prod, context: {cluster: prod, user: me, namespace: web}}]
current-context: prod
`
	if err := os.WriteFile(second, []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	p := open(t, "blue")
	creds := Credentials{Server: "https://127.0.0.1:7443", CACert: []byte("ca"), ClientCert: []byte("cert"), ClientKey: []byte("key")}
	_, path, err := p.MergeKubeconfig(creds, false)
	if err != nil {
		t.Fatal(err)
	}
	if path != second {
		t.Errorf("merged into %s, want the first existing file %s", path, second)
	}
	config, err := clientcmd.LoadFromFile(second)
	if err != nil {
		t.Fatal(err)
	}
	if config.CurrentContext != "prod" || config.Contexts["prod"].Namespace != "web" || config.Contexts["skiff-blue"] == nil {
		t.Errorf("after the merge: %+v", config)
	}
	if info, _ := os.Stat(second); info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v", info.Mode().Perm())
	}

	config.Contexts["skiff-blue"].Namespace = "team"
	if err := clientcmd.WriteToFile(*config, second); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.MergeKubeconfig(creds, true); err != nil {
		t.Fatal(err)
	}
	config, _ = clientcmd.LoadFromFile(second)
	if config.CurrentContext != "skiff-blue" || config.Contexts["skiff-blue"].Namespace != "team" {
		t.Errorf("second merge lost the user's namespace or did not switch: %+v", config.Contexts["skiff-blue"])
	}

	if err := p.RemoveFromKubeconfig(); err != nil {
		t.Fatal(err)
	}
	config, _ = clientcmd.LoadFromFile(second)
	if config.Contexts["skiff-blue"] != nil || config.Clusters["skiff-blue"] != nil || config.AuthInfos["skiff-blue"] != nil || config.CurrentContext != "" || config.Contexts["prod"] == nil {
		t.Errorf("after the removal: %+v", config)
	}
}

func TestOwnKubeconfigGivesItsCredentialsBack(t *testing.T) {
	p := open(t, "skiff")
	want := Credentials{Server: "https://127.0.0.1:7443", CACert: []byte("ca"), ClientCert: []byte("cert"), ClientKey: []byte("key")}
	if err := p.WriteKubeconfig(want); err != nil {
		t.Fatal(err)
	}
	got, err := p.ReadCredentials()
	if err != nil || got.Server != want.Server || string(got.ClientKey) != "key" {
		t.Errorf("ReadCredentials = %+v, %v", got, err)
	}
}
