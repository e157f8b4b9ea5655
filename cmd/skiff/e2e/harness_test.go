package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// slow bounds anything that should happen; it is generous because machines that run tests are slow and shared.
const slow = 90 * time.Second

func needsEngine(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("drives a real engine")
	}
}

// result is how a command ended.
type result struct {
	command string
	out     string
	errOut  string
	code    int
}

func (r result) String() string {
	return fmt.Sprintf("$ %s\n%s%s(exit code %d)", r.command, r.out, r.errOut, r.code)
}

// try runs a command and returns how it ended.
func try(t *testing.T, name string, args ...string) result {
	t.Helper()
	return tryIn(t, "", nil, name, args...)
}

func tryIn(t *testing.T, stdin string, env []string, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(append([]string{}, shared.env...), env...)
	c.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	err := c.Run()
	r := result{command: filepath.Base(name) + " " + strings.Join(args, " "), out: out.String(), errOut: errOut.String()}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		r.code = exit.ExitCode()
	case err != nil:
		t.Fatalf("run %s: %v", r.command, err)
	}
	return r
}

// skiff runs the binary and fails the test when it fails; it returns standard output.
func skiff(t *testing.T, args ...string) string {
	t.Helper()
	r := try(t, shared.bin, args...)
	if r.code != 0 {
		t.Fatalf("%s\n%s", r, daemonLog(40))
	}
	return r.out
}

// daemonLog is the end of the daemon's log.
func daemonLog(lines int) string {
	raw, err := os.ReadFile(filepath.Join(shared.dir, "home", shared.profile, "daemon.log"))
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return "the end of the daemon's log:\n" + strings.Join(all[max(0, len(all)-lines):], "\n")
}

// kubectl runs the stock client and fails the test when it fails; it returns standard output.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	r := try(t, shared.kubectl, args...)
	if r.code != 0 {
		t.Fatalf("%s", r)
	}
	return r.out
}

// eventually polls until check returns an empty string, and fails with the last complaint.
func eventually(t *testing.T, within time.Duration, check func() string) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		complaint := check()
		if complaint == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %s", within, complaint)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// eventuallyPrints polls a kubectl command until its output contains want.
func eventuallyPrints(t *testing.T, want string, args ...string) {
	t.Helper()
	eventually(t, slow, func() string {
		r := try(t, shared.kubectl, args...)
		if r.code == 0 && strings.Contains(r.out, want) {
			return ""
		}
		return fmt.Sprintf("no %q in %s", want, r)
	})
}

// jsonpath asks for one value of an object.
func jsonpath(t *testing.T, path string, args ...string) string {
	t.Helper()
	return strings.TrimSpace(kubectl(t, append(append([]string{"get"}, args...), "-o", "jsonpath="+path)...))
}

// file writes a manifest, with IMAGE replaced by the demo's repository, and returns its path.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	content = strings.ReplaceAll(content, "IMAGE", shared.image)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// namespace makes one for the test, makes it the context's, and removes it with everything in it afterwards.
func namespace(t *testing.T, name string) {
	t.Helper()
	kubectl(t, "create", "namespace", name)
	kubectl(t, "config", "set-context", "--current", "--namespace="+name)
	t.Cleanup(func() {
		if t.Failed() {
			dump(t, name)
		}
		// The test's context has ended by now, so these run on their own.
		for _, args := range [][]string{{"config", "set-context", "--current", "--namespace=default"}, {"delete", "namespace", name, "--wait=false"}} {
			c := exec.Command(shared.kubectl, args...)
			c.Env = shared.env
			_ = c.Run()
		}
	})
}

func dump(t *testing.T, ns string) {
	for _, args := range [][]string{{"get", "all,endpointslices", "-o", "wide"}, {"get", "events", "--sort-by=.lastTimestamp"}} {
		c := exec.Command(shared.kubectl, append(args, "-n", ns)...)
		c.Env = shared.env
		out, _ := c.CombinedOutput()
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if len(lines) > 40 {
			lines = lines[len(lines)-40:]
		}
		t.Logf("kubectl %s\n%s", strings.Join(args, " "), strings.Join(lines, "\n"))
	}
	t.Log(daemonLog(15))
}

// page fetches a URL; the body is empty when it didn't answer with 200.
func page(url string) (string, error) { return pageOf(url, func(*http.Request) {}) }

// pageOf fetches a URL with a request that change has changed. Names below localhost are this machine, as in browsers.
func pageOf(url string, change func(*http.Request)) (string, error) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	change(request)
	dialer := &net.Dialer{}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".localhost") {
			address = net.JoinHostPort("127.0.0.1", port)
		}
		return dialer.DialContext(ctx, network, address)
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", response.Status, body)
	}
	return string(body), nil
}

// eventuallyServes polls a URL until the page contains want.
func eventuallyServes(t *testing.T, url, want string) {
	t.Helper()
	eventually(t, slow, func() string {
		body, err := page(url)
		if err != nil {
			return err.Error()
		}
		if !strings.Contains(body, want) {
			return fmt.Sprintf("no %q in %q", want, body)
		}
		return ""
	})
}

// nodePortURL is where a NodePort Service answers.
func nodePortURL(t *testing.T, service string) string {
	t.Helper()
	port := jsonpath(t, "{.spec.ports[0].nodePort}", "service", service)
	return "http://127.0.0.1:" + port + "/"
}

// visitor requests a page over and over and counts what fails, as users of a page that is rolled out would notice.
type visitor struct {
	stop   context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex
	visits int
	failed []string
}

func visit(t *testing.T, url string) *visitor {
	ctx, stop := context.WithCancel(t.Context())
	v := &visitor{stop: stop}
	for range 2 {
		v.done.Go(func() {
			for ctx.Err() == nil {
				_, err := page(url)
				v.mu.Lock()
				v.visits++
				if err != nil {
					v.failed = append(v.failed, time.Now().Format("15:04:05.000 ")+err.Error())
				}
				v.mu.Unlock()
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	t.Cleanup(stop)
	return v
}

// mustBeContent ends the visits and fails the test when one failed.
func (v *visitor) mustBeContent(t *testing.T) {
	t.Helper()
	v.stop()
	v.done.Wait()
	if len(v.failed) > 0 {
		t.Errorf("%d of %d requests failed: %s", len(v.failed), v.visits, strings.Join(v.failed[:min(5, len(v.failed))], "; "))
	}
	if v.visits < 10 {
		t.Errorf("only %d requests were made", v.visits)
	}
	t.Logf("%d requests, %d failed", v.visits, len(v.failed))
}

// status is the part of `skiff status -o json` that the tests look at.
type status struct {
	Running  bool
	Context  string
	Daemon   struct{ PID int }
	Versions struct{ Skiff string }
	API      struct {
		URL   string
		Ready bool
	}
	Network  struct{ DNS bool }
	Engine   struct{ Rootless bool }
	Problems []struct{ Object, Reason, Message string }
}

func readStatus(t *testing.T) status {
	t.Helper()
	r := try(t, shared.bin, "status", "-o", "json")
	var s status
	if err := json.Unmarshal([]byte(r.out), &s); err != nil {
		t.Fatalf("parse the status: %v\n%s", err, r)
	}
	return s
}

// containers lists the engine's containers of the cluster that have all the labels: id, start time and restarts, which
// change when one is touched.
func containers(t *testing.T, labels ...string) string {
	t.Helper()
	list := []string{"ps", "-q", "--no-trunc", "--filter", "label=skiff.local/profile=" + shared.profile}
	for _, l := range labels {
		list = append(list, "--filter", "label="+l)
	}
	ids := strings.Fields(try(t, "docker", list...).out)
	if len(ids) == 0 {
		return ""
	}
	format := `{{.Name}} {{.Id}} {{.State.StartedAt}} {{.RestartCount}}`
	return try(t, "docker", append([]string{"inspect", "--format", format}, ids...)...).out
}
