package controllers_test

import (
	"fmt"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"os"
	"runtime/pprof"
	"runtime/trace"
	"testing"
	"time"
)

func TestZZTrace(t *testing.T) {
	c := startCluster(t)
	_, err := c.client.AppsV1().Deployments("default").Create(t.Context(), deployment("web", 10), metav1.CreateOptions{})
	check(t, err)
	eventually(t, "ten pods", func() (bool, string) {
		d, err := c.client.AppsV1().Deployments("default").Get(t.Context(), "web", metav1.GetOptions{})
		return err == nil && d.Status.ReadyReplicas == 10, fmt.Sprint(d.Status, err)
	})
	time.Sleep(8 * time.Second)
	f, _ := os.Create("/tmp/ctl.trace")
	trace.Start(f)
	time.Sleep(60 * time.Second)
	trace.Stop()
	f.Close()
	g, _ := os.Create("/tmp/ctl.goroutines")
	pprof.Lookup("goroutine").WriteTo(g, 1)
	g.Close()
}
