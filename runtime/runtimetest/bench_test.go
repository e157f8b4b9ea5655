package runtimetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"skiff.local/skiff/runtime/docker"
	imagepkg "skiff.local/skiff/runtime/image"
)

// bare is an engine client of a few lines: what the calls cost without any wrapper.
type bare struct {
	http *http.Client
	api  string
}

func newBare(b *testing.B, eng *docker.Engine) *bare {
	b.Helper()
	path, ok := strings.CutPrefix(eng.Host(), "unix://")
	if !ok {
		b.Skip("the comparison speaks to unix sockets only")
	}
	return &bare{api: "http://engine/v" + eng.APIVersion(), http: &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 32,
		DialContext:         func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) },
	}}}
}

func (c *bare) call(b *testing.B, method, path string, body any) []byte {
	b.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		b.Fatal(err)
	}
	req, err := http.NewRequest(method, c.api+path, bytes.NewReader(data))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	out, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 && resp.StatusCode != http.StatusNotModified {
		b.Fatalf("%s %s: %s: %s, %v", method, path, resp.Status, out, err)
	}
	return out
}

// BenchmarkPodCalls compares the engine calls of the smallest pod made bare and made through the wrapper, turn by turn in
// the same run, so that other load on the machine meets both alike. The times are per step, in milliseconds.
func BenchmarkPodCalls(b *testing.B) {
	eng := Connect(b)
	image := ProgImage(b, eng)
	raw := newBare(b, eng)
	ctx := context.Background()
	network := UniqueName("bench")
	if _, err := eng.CreateNetwork(ctx, docker.NetworkSpec{Name: network}); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = eng.RemoveNetwork(ctx, network) }()

	create := func(network string) string {
		var created struct{ ID string }
		body := map[string]any{
			"Image": image, "Cmd": []string{"sleep"},
			"HostConfig": map[string]any{"NetworkMode": network, "LogConfig": map[string]any{"Type": "json-file"}},
		}
		if err := json.Unmarshal(raw.call(b, "POST", "/containers/create?name="+UniqueName("bare"), body), &created); err != nil {
			b.Fatal(err)
		}
		return created.ID
	}
	start := func(id string) { raw.call(b, "POST", "/containers/"+id+"/start", nil) }
	remove := func(id string) { raw.call(b, "DELETE", "/containers/"+id+"?force=1", nil) }

	ours := func(network string) string {
		id, err := eng.CreateContainer(ctx, docker.ContainerSpec{Name: UniqueName("ours"), Image: image, Cmd: []string{"sleep"}, Network: network})
		if err != nil {
			b.Fatal(err)
		}
		return id
	}
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	steps := []string{"pause-create", "pause-start", "app-create", "app-start", "remove"}
	spent := map[string]time.Duration{}
	for range b.N {
		for who, do := range map[string]struct {
			create        func(string) string
			start, remove func(string)
		}{
			"bare": {create, start, remove},
			"ours": {ours, func(id string) { must(eng.StartContainer(ctx, id)) }, func(id string) { must(eng.RemoveContainer(ctx, id, docker.RemoveOptions{Force: true})) }},
		} {
			last := time.Now()
			lap := func(step string) {
				now := time.Now()
				spent[who+"-"+step] += now.Sub(last)
				last = now
			}
			pause := do.create(network)
			lap(steps[0])
			do.start(pause)
			lap(steps[1])
			app := do.create("container:" + pause)
			lap(steps[2])
			do.start(app)
			lap(steps[3])
			do.remove(app)
			do.remove(pause)
			lap(steps[4])
		}
	}
	for _, who := range []string{"bare", "ours"} {
		total := time.Duration(0)
		for _, step := range steps {
			d := spent[who+"-"+step] / time.Duration(b.N)
			if step != "remove" {
				total += d
			}
			b.ReportMetric(float64(d.Microseconds())/1000, fmt.Sprintf("ms-%s-%s", who, step))
		}
		b.ReportMetric(float64(total.Microseconds())/1000, "ms-"+who+"-running")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkInspect compares one small call.
func BenchmarkInspect(b *testing.B) {
	eng := Connect(b)
	image := ProgImage(b, eng)
	id, err := eng.CreateContainer(b.Context(), docker.ContainerSpec{Name: UniqueName("c"), Image: image, Cmd: []string{"sleep"}, Network: "none"})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = eng.RemoveContainer(context.Background(), id, docker.RemoveOptions{Force: true}) }()
	raw := newBare(b, eng)
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			raw.call(b, "GET", "/containers/"+id+"/json", nil)
		}
	})
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			if _, err := eng.InspectContainer(b.Context(), id); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkExec measures a command from start to exit code, as an exec probe runs it.
func BenchmarkExec(b *testing.B) {
	eng := Connect(b)
	image := ProgImage(b, eng)
	id, err := eng.CreateContainer(b.Context(), docker.ContainerSpec{Name: UniqueName("c"), Image: image, Cmd: []string{"sleep"}, Network: "none"})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = eng.RemoveContainer(context.Background(), id, docker.RemoveOptions{Force: true}) }()
	if err := eng.StartContainer(b.Context(), id); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if code, err := eng.Exec(b.Context(), id, docker.ExecSpec{Cmd: []string{ProgPath, "exit", "0"}}, docker.Streams{}); err != nil || code != 0 {
			b.Fatal(code, err)
		}
	}
}

// BenchmarkKillExec measures how long a command that must die lives on: a helper container is most of it.
func BenchmarkKillExec(b *testing.B) {
	eng := Connect(b)
	image := ProgImage(b, eng)
	helper, err := imagepkg.EnsureNode(b.Context(), eng)
	if err != nil {
		b.Fatal(err)
	}
	id, err := eng.CreateContainer(b.Context(), docker.ContainerSpec{Name: UniqueName("c"), Image: image, Cmd: []string{"sleep"}, Network: "none"})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = eng.RemoveContainer(context.Background(), id, docker.RemoveOptions{Force: true}) }()
	if err := eng.StartContainer(b.Context(), id); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		session, err := eng.StartExec(b.Context(), id, docker.ExecSpec{Cmd: []string{ProgPath, "stubborn"}, KillImage: helper}, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := session.Kill(b.Context()); err != nil {
			b.Fatal(err)
		}
		_ = session.Close()
	}
}
