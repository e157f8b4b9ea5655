package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestFilesAreCopiedBothWays(t *testing.T) {
	ensureStarted(t)
	namespace(t, "copy")
	kubectl(t, "run", "web", "--image="+shared.image+":0.1")
	kubectl(t, "wait", "--for=condition=Ready", "pod/web", "--timeout=90s")
	from, to := t.TempDir(), t.TempDir()
	blob := bytes.Repeat([]byte{0, 1, 2, 0xff, '\r', '\n', 3}, 300_000) // 2 MB that no terminal would survive
	for name, data := range map[string][]byte{"blob": blob, "a file": []byte("spaced\n"), "deep/er/note": []byte("carried\n"), "empty": nil} {
		path := filepath.Join(from, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o754); err != nil {
			t.Fatal(err)
		}
	}
	kubectl(t, "cp", from, "web:/tmp/there")
	kubectl(t, "cp", "web:/tmp/there", to)
	for _, name := range []string{"blob", "a file", "deep/er/note", "empty"} {
		want, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(to, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s came back with %d of %d bytes: %v", name, len(got), len(want), err)
		}
	}
	if got := kubectl(t, "exec", "web", "--", "stat", "-c", "%a", "/tmp/there/deep/er/note"); got != "754\n" {
		t.Errorf("mode %q in the pod", got)
	}
}

// forward starts a port-forward and returns where it listens, in the order of the ports.
func forward(t *testing.T, program string, args ...string) []string {
	t.Helper()
	c := exec.Command(program, append([]string{"port-forward"}, args...)...)
	c.Env = shared.env
	out := &lockedWriter{to: &bytes.Buffer{}}
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	listening := regexp.MustCompile(`Forwarding from (127\.0\.0\.1:\d+) -> `)
	var addresses []string
	ports := strings.Count(" "+strings.Join(args, " "), " :")
	eventually(t, slow, func() string {
		addresses = nil
		for _, m := range listening.FindAllStringSubmatch(out.String(), -1) {
			addresses = append(addresses, m[1])
		}
		if len(addresses) < ports {
			return fmt.Sprintf("port-forward %s listens at %v:\n%s", strings.Join(args, " "), addresses, out.String())
		}
		return ""
	})
	return addresses
}

func TestPortsAreForwarded(t *testing.T) {
	ensureStarted(t)
	namespace(t, "forward")
	kubectl(t, "create", "-f", file(t, "forward.yaml", `
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: web
    image: IMAGE:0.1
    command: [sh, -c, "mkdir /tmp/w; echo inner > /tmp/w/index.html; httpd -p 127.0.0.1:81 -h /tmp/w; busybox nc -ll -p 82 -e wc -c & exec httpd -f -p 80 -h /www"]
    ports: [{name: page, containerPort: 80}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: steady}
spec:
  selector: {matchLabels: {app: steady}}
  template:
    metadata: {labels: {app: steady}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: "IMAGE:0.1"}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 8080, targetPort: page}]}
`))
	kubectl(t, "wait", "--for=condition=Ready", "pod/web", "--timeout=90s")
	at := forward(t, shared.kubectl, "pod/web", ":80", ":81", ":82", ":83")
	kubectl(t, "rollout", "status", "deployment/steady", "--timeout=90s")
	steady := forward(t, shared.bin, "-n", "forward", "deployment/steady", ":80")
	service := forward(t, shared.kubectl, "service/web", ":8080")

	// Many at once, each whole.
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			url, want := "http://"+at[0], "Hello from version 0.1"
			switch i % 3 {
			case 1:
				url, want = "http://"+at[1], "inner" // listens on the pod's loopback only
			case 2:
				url = "http://" + service[0]
			}
			if body, err := page(url); err != nil || !strings.Contains(body, want) {
				t.Errorf("%s: %q, %v", url, body, err)
			}
		})
	}
	all.Wait()

	// The end of what is sent arrives, and the answer to it still comes back.
	conn, err := net.DialTimeout("tcp", at[2], 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(slow))
	if _, err := conn.Write(make([]byte, 3_000_000)); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); strings.TrimSpace(string(got)) != "3000000" || err != nil {
		t.Errorf("after the end of the input: %q, %v", got, err)
	}

	// skiff's own verb goes on with the pod that replaces the one it began with.
	if body, err := page("http://" + steady[0]); err != nil || !strings.Contains(body, "version 0.1") {
		t.Errorf("%q, %v", body, err)
	}
	kubectl(t, "set", "image", "deployment/steady", "web="+shared.image+":0.2")
	eventuallyServes(t, "http://"+steady[0], "version 0.2")
	kubectl(t, "delete", "pod", "-l", "app=steady", "--force", "--grace-period=0")
	eventuallyServes(t, "http://"+steady[0], "version 0.2")

	// A port without a server is a failed connection.
	client := http.Client{Timeout: 10 * time.Second}
	if resp, err := client.Get("http://" + at[3]); err == nil {
		resp.Body.Close()
		t.Errorf("port 83 answers: %s", resp.Status)
	}
}
