package node

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func testForceDelete(t *testing.T, c *cluster) {
	c.pod("force", func(p *v1.Pod) { main(p).Command = []string{"/bin/sleep", "1000"} }) // deaf to SIGTERM
	c.until("force", "ready", patience, ready)
	if err := c.client.CoreV1().Pods("default").Delete(context.Background(), "force", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.untilGoneFromEngine("force")
}

func (c *cluster) untilGoneFromEngine(pod string) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		left := strings.Join(c.left(), "\n")
		if !strings.Contains(left, "_"+pod+"_default_") && !strings.Contains(left, "k8s_"+pod+"-") {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("left of %s:\n%s", pod, left)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func testDeleteWhileStarting(t *testing.T, c *cluster) {
	for i := range 5 {
		name := fmt.Sprintf("brief%d", i)
		c.pod(name, usualVolumes)
		time.Sleep(time.Duration(i*120) * time.Millisecond)
		c.remove(name, 1)
		c.until(name, "gone", patience, gone)
		c.untilGoneFromEngine(name)
	}
}

// TestKilledAtAnyStep ends the agent at random moments of a pod's start and deletion.
func TestKilledAtAnyStep(t *testing.T) {
	c := newCluster(t)
	for i := range 8 {
		name := fmt.Sprintf("k%d", i)
		c.run()
		c.pod(name, usualVolumes)
		time.Sleep(time.Duration(rand.IntN(900)) * time.Millisecond)
		c.stopAgent()
		c.run()
		p := c.until(name, "ready", patience, ready)
		if s := status(p, "main"); s.RestartCount != 0 {
			t.Errorf("%s was restarted: %+v\n%s", name, s, c.eventsOf(name))
		}
		c.remove(name, 2)
		time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
		c.stopAgent()
		c.run()
		c.until(name, "gone", patience, gone)
		c.untilGoneFromEngine(name)
		c.stopAgent()
	}
}
