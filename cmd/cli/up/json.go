package up

import (
	"encoding/json"
	"sync"

	"skiff.local/skiff/cmd/cli/iostreams"
	"skiff.local/skiff/watch"
	"skiff.local/skiff/watch/event"
)

// jsonRenderer writes one event per line.
type jsonRenderer struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func newJSON(io *iostreams.IOStreams) *jsonRenderer {
	enc := json.NewEncoder(io.Out)
	enc.SetEscapeHTML(false)
	return &jsonRenderer{enc: enc}
}

func (r *jsonRenderer) event(e event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.enc.Encode(e) // a reader that went away ends the process by SIGPIPE; there is nobody else to tell
}

func (r *jsonRenderer) differences(differences []watch.Difference) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.enc.Encode(struct {
		Type        string             `json:"type"`
		Differences []watch.Difference `json:"differences"`
	}{"differences", differences})
}

func (r *jsonRenderer) close() {}
