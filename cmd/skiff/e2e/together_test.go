package e2e

import (
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// Clusters that start for the first time at the same moment must take neither the same addresses nor each other's context
// out of the kubeconfig.
func TestClustersThatStartAtOnceKeepOutOfEachOthersWay(t *testing.T) {
	ensureStarted(t)
	profiles := []string{shared.profile + "-a", shared.profile + "-b", shared.profile + "-c"}
	t.Cleanup(func() {
		for _, p := range profiles {
			c := exec.Command(shared.bin, "-p", p, "delete", "--yes") // the test's context has ended by now
			c.Env = shared.env
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("delete %s: %v: %s", p, err, out)
			}
		}
	})
	results := make([]result, len(profiles))
	var starts sync.WaitGroup
	for i, p := range profiles {
		starts.Go(func() { results[i] = try(t, shared.bin, "-p", p, "start") })
	}
	starts.Wait()
	contexts := kubectl(t, "config", "get-contexts", "-o", "name")
	for i, r := range results {
		if r.code != 0 {
			t.Errorf("%s", r)
		}
		if !strings.Contains(contexts, "skiff-"+profiles[i]+"\n") {
			t.Errorf("no context of %s in:\n%s", profiles[i], contexts)
		}
	}
	kubectl(t, "config", "use-context", "skiff-"+shared.profile)
}
