package why

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"skiff.local/skiff/cmd/cli/iostreams"
	"skiff.local/skiff/runtime/pod"
	"skiff.local/skiff/runtime/pod/plan"
)

// What the node answers is what is shown: the two are put together here, so that a field that is renamed shows.
func TestAnExplanationIsReadable(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	raw, err := json.Marshal(pod.Why{
		Namespace: "shop", Name: "web-0", Phase: "Pending", At: now,
		Running:  []pod.Step{{What: "pull nope:1", Since: now.Add(-3 * time.Second)}},
		Waits:    []plan.Wait{{Container: "app", Reason: "CrashLoopBackOff", Message: "back-off 10s", Until: now.Add(7 * time.Second)}},
		Failures: []pod.Failed{{What: "pull nope:1", Reason: "ErrImagePull", Message: "no such host", At: now.Add(-time.Minute), Count: 4}},
		Next:     now.Add(7 * time.Second),
	})
	if err != nil {
		t.Fatal(err)
	}
	var x explanation
	if err := json.Unmarshal(raw, &x); err != nil {
		t.Fatal(err)
	}
	out := &bytes.Buffer{}
	render(out, x, iostreams.Colours{}, now)
	want := `pod shop/web-0 is Pending
  doing   pull nope:1, for 3.0 s
  waits   container app: CrashLoopBackOff: back-off 10s, for another 7.0 s
  failed  pull nope:1: ErrImagePull: no such host (4 times, last 1m0s ago)
  the node looks again in 7.0 s, or when something happens
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
