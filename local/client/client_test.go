package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"skiff.local/skiff/local/profile"
)

func testProfile(t *testing.T) *profile.Profile {
	t.Helper()
	p, err := profile.Open(t.TempDir(), "blue")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestConnectToNothingSaysHowToStart(t *testing.T) {
	_, err := Connect(testProfile(t))
	f := AsFailure(err)
	if f == nil || f.Reason != ReasonNotRunning || !strings.Contains(f.Hint, "skiff start -p blue") {
		t.Errorf("Connect = %#v", err)
	}
}

func TestAStartIsFollowedUntilItsPhase(t *testing.T) {
	lines := func(events ...Event) string {
		var b strings.Builder
		b.WriteString("a line that some library prints\n")
		for _, e := range events {
			_ = json.NewEncoder(&b).Encode(e)
		}
		return b.String()
	}
	failed := &Failure{Reason: ReasonPortInUse, Message: "taken", Hint: "another"}
	for name, c := range map[string]struct {
		output string
		until  Phase
		seen   []Phase
		reason Reason
	}{
		"up to the API":         {lines(Event{Phase: PhaseStore}, Event{Phase: PhaseAPI}, Event{Phase: PhaseDNS}), PhaseAPI, []Phase{PhaseStore, PhaseAPI}, ""},
		"up to ready":           {lines(Event{Phase: PhaseAPI}, Event{Phase: PhaseReady}), PhaseReady, []Phase{PhaseAPI, PhaseReady}, ""},
		"a failure":             {lines(Event{Phase: PhaseStore}, Event{Failure: failed}), PhaseReady, []Phase{PhaseStore}, ReasonPortInUse},
		"an end without a word": {lines(Event{Phase: PhaseStore}), PhaseAPI, []Phase{PhaseStore}, ReasonInternal},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []Phase
			err := follow(strings.NewReader(c.output), c.until, func(e Event) { seen = append(seen, e.Phase) }, testProfile(t))
			if !slices.Equal(seen, c.seen) {
				t.Errorf("saw %v, want %v", seen, c.seen)
			}
			var reason Reason
			if f := AsFailure(err); f != nil {
				reason = f.Reason
			}
			if reason != c.reason || (err != nil) != (c.reason != "") {
				t.Errorf("err = %v (%s), want reason %q", err, reason, c.reason)
			}
		})
	}
}

func TestAnAnswerKeepsTheDaemonsReason(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch strings.TrimPrefix(r.URL.Path, ControlPath) {
		case "status":
			_ = json.NewEncoder(w).Encode(Status{Profile: "blue", Pods: PodCounts{Total: 3}})
		case "known":
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(Failure{Reason: ReasonInvalid, Message: "no", Hint: "yes"})
		default:
			http.Error(w, "an API server's own words", http.StatusForbidden)
		}
	}))
	defer server.Close()
	c := &Cluster{profile: testProfile(t), creds: profile.Credentials{Server: server.URL}, http: server.Client()}
	ctx := context.Background()
	if s, err := c.Status(ctx); err != nil || s.Pods.Total != 3 {
		t.Errorf("Status = %+v, %v", s, err)
	}
	if f := AsFailure(c.Call(ctx, http.MethodGet, "known", nil, nil)); f == nil || f.Reason != ReasonInvalid || f.Hint != "yes" {
		t.Errorf("a known failure came as %#v", f)
	}
	if f := AsFailure(c.Call(ctx, http.MethodGet, "other", nil, nil)); f == nil || f.Reason != ReasonInternal || !strings.Contains(f.Message, "own words") {
		t.Errorf("another error came as %#v", f)
	}
	server.Close()
	if f := AsFailure(c.Call(ctx, http.MethodGet, "status", nil, nil)); f == nil || f.Reason != ReasonNotRunning || f.Hint == "" {
		t.Errorf("no answer came as %#v", f)
	}
}

func TestStartOptionsBecomeTheDaemonsFlags(t *testing.T) {
	got := StartOptions{APIPort: 7000, Subnet: "10.9.0.0/16", Nodes: 3, Bind: "0.0.0.0", Restore: true, Verbosity: 2, WaitDNS: true, Version: "1.2.0"}.Args(testProfile(t))
	want := "--client-version 1.2.0 --profile blue --api-port 7000 --subnet 10.9.0.0/16 --nodes 3 --bind 0.0.0.0 --restore --verbosity 2"
	if strings.Join(got, " ") != want {
		t.Errorf("args = %v", got)
	}
}
