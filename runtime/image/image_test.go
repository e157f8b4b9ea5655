package image

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"skiff.local/skiff/runtime/docker"
)

func TestDecideFollowsThePolicy(t *testing.T) {
	for _, c := range []struct {
		policy  Policy
		present bool
		want    Action
	}{
		{Always, true, Pull}, {Always, false, Pull},
		{IfNotPresent, true, UseLocal}, {IfNotPresent, false, Pull},
		{Never, true, UseLocal}, {Never, false, Refuse},
		{"", true, UseLocal}, {"", false, Pull},
	} {
		if got := Decide(c.policy, c.present); got != c.want {
			t.Errorf("%s, present %v: got %s, want %s", c.policy, c.present, got, c.want)
		}
	}
}

func TestOnlyAnUnreachableRegistryFallsBack(t *testing.T) {
	registry := func(kind error) error { return &docker.Error{Kind: kind, Also: docker.ErrRegistry} }
	for _, c := range []struct {
		present bool
		err     error
		want    bool
	}{
		{true, registry(docker.ErrInternal), true},
		{false, registry(docker.ErrInternal), false},
		{true, registry(docker.ErrNotFound), false},
		{true, registry(docker.ErrUnauthorized), false},
		{true, registry(docker.ErrForbidden), false},
		{true, &docker.Error{Kind: docker.ErrNoEngine}, false},
		{true, nil, false},
		{true, errors.Join(registry(docker.ErrInternal), registry(docker.ErrNotFound)), false},
	} {
		if got := FallBack(c.present, c.err); got != c.want {
			t.Errorf("present %v, %v: got %v", c.present, c.err, got)
		}
	}
}

func TestParse(t *testing.T) {
	digest := "sha256:" + strings.Repeat("ab", 32)
	for name, want := range map[string]Reference{
		"nginx":                 {Registry: "docker.io", Repository: "docker.io/library/nginx", Tag: "latest"},
		"k8s-demo:0.1":          {Registry: "docker.io", Repository: "docker.io/library/k8s-demo", Tag: "0.1"},
		"localhost:5000/a/b":    {Registry: "localhost:5000", Repository: "localhost:5000/a/b", Tag: "latest"},
		"a.io/b@" + digest:      {Registry: "a.io", Repository: "a.io/b", Digest: digest},
		"a.io/b:c@" + digest:    {Registry: "a.io", Repository: "a.io/b", Tag: "c", Digest: digest},
		"docker.io/library/x:1": {Registry: "docker.io", Repository: "docker.io/library/x", Tag: "1"},
	} {
		got, err := Parse(name)
		got.named = nil
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	for _, bad := range []string{"", "UPPER", "a b", "a:", "x@sha256:12", strings.Repeat("ab", 32)} {
		if got, err := Parse(bad); err == nil {
			t.Errorf("%q was accepted as %+v", bad, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"nginx", "a/b:c", "localhost:5000/x@sha256:" + strings.Repeat("0", 64)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(ref.String())
		if err != nil || again.String() != ref.String() {
			t.Errorf("%q reads as %q, which reads as %q, %v", s, ref, again, err)
		}
	})
}

func TestSuggestNamesWhatWasProbablyMeant(t *testing.T) {
	at := func(n int64) time.Time { return time.Unix(n, 0) }
	local := []docker.ImageInfo{
		{Tags: []string{"k8s-demo:0.1"}, Created: at(1)},
		{Tags: []string{"k8s-demo:0.2"}, Created: at(2)},
		{Tags: []string{"example.com/team/k8s-demo:dev"}, Created: at(9)},
		{Tags: []string{"postgres:16"}, Created: at(9)},
		{Tags: nil, Created: at(9)},
		{Tags: []string{"skiff.local/node:0123abcd"}, Created: at(9)},
		{Tags: []string{"skiff.local/hello:1.0"}, Created: at(9)},
	}
	for name, want := range map[string][]string{
		"k8s-demo:0.3": {"k8s-demo:0.2", "k8s-demo:0.1", "example.com/team/k8s-demo:dev"},
		"k8s-dmeo:0.1": {"k8s-demo:0.2", "k8s-demo:0.1", "example.com/team/k8s-demo:dev"}, // a swap is two edits, two of eight letters
		"postgrse":     {"postgres:16"},
		"redis":        nil,
		"node:22":      nil, // skiff's own helper is nothing to run
		"helo":         {"skiff.local/hello:1.0"},
	} {
		ref, err := Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		got := Suggest(ref, local)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"same", "same", 0}} {
		if got := editDistance(c.a, c.b); got != c.want || editDistance(c.b, c.a) != c.want {
			t.Errorf("%q, %q: got %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestStatusIDPrefersTheDigestOfItsRepository(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("cd", 32)
	info := &docker.ImageInfo{ID: "sha256:1", Digests: []string{"other" + digest, "app" + digest}}
	if got := StatusID(info, "app:1"); got != "app"+digest {
		t.Errorf("got %s", got)
	}
	if got := StatusID(&docker.ImageInfo{ID: "sha256:1"}, "app:1"); got != "sha256:1" {
		t.Errorf("got %s", got)
	}
}

func TestABuildWithoutHelpersSaysWhatToDo(t *testing.T) {
	none := fstest.MapFS{"embedded/README.md": {}}
	h, err := findHelpers(none)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.binary("amd64")
	if !errors.Is(err, ErrNotEmbedded) || !strings.Contains(docker.Hint(err), "make build") {
		t.Errorf("got %v, hint %q", err, docker.Hint(err))
	}
	one := fstest.MapFS{"embedded/skiff-node-linux-arm64.gz": {Data: []byte("x")}}
	h, err = findHelpers(one)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.binary("amd64"); !errors.Is(err, ErrNotEmbedded) || !strings.Contains(err.Error(), "amd64") {
		t.Errorf("got %v", err)
	}
	two := fstest.MapFS{"embedded/skiff-node-linux-arm64.gz": {Data: []byte("y")}}
	changed, err := findHelpers(two)
	if err != nil {
		t.Fatal(err)
	}
	if h.version() == changed.version() {
		t.Error("another helper has the same version")
	}
}

func TestTrackerAddsUpLayers(t *testing.T) {
	tr := newTracker("app:1", time.Unix(0, 0))
	for _, p := range []docker.PullProgress{
		{Layer: "1", Status: "Pulling from app"}, // the engine puts the tag here
		{Layer: "aaaaaaaaaaaa", Status: "Pulling fs layer"},
		{Layer: "bbbbbbbbbbbb", Status: "Already exists"},
		{Layer: "aaaaaaaaaaaa", Status: "Downloading", Current: 1_000_000, Total: 4_000_000},
		{Layer: "aaaaaaaaaaaa", Status: "Extracting", Current: 5, Total: 10},
	} {
		tr.add(p, time.Unix(1, 0))
	}
	p, last := tr.snapshot()
	if got := p.String(); got != "1 of 2 layers, 1.0 MB of 4.0 MB" || !last.Equal(time.Unix(1, 0)) {
		t.Errorf("got %q at %v", got, last)
	}
	tr.add(docker.PullProgress{Layer: "aaaaaaaaaaaa", Status: "Pull complete"}, time.Unix(2, 0))
	if p, _ := tr.snapshot(); p.String() != "2 of 2 layers, 4.0 MB of 4.0 MB" {
		t.Errorf("got %q", p)
	}
}

func ExampleError() {
	err := &Error{Reason: ReasonNeverPull, Message: `Container image "app:2" is not present with pull policy of Never`, Suggestions: []string{"app:1"}}
	fmt.Println(err)
	fmt.Println(err.Hint())
	// Output:
	// Container image "app:2" is not present with pull policy of Never (local images with a similar name: app:1)
	// use one of the local images, or build this one
}
