package build

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
)

// Tidy is Docker that takes away the images that it made itself and whose tag a later build of its took: saving all day
// would leave hundreds behind. What a container uses or another tag names stays, and so does what somebody else built.
type Tidy struct {
	Docker

	mu sync.Mutex
	// last is what was built last for a reference; old is what is to go. Guarded by mu.
	last map[string]string
	old  map[string]bool
}

// Build is Docker's.
func (t *Tidy) Build(ctx context.Context, image Image, output func(line string)) (id string, err error) {
	id, err = t.Docker.Build(ctx, image, output)
	if err != nil {
		return id, err
	}
	t.mu.Lock()
	if t.last == nil {
		t.last, t.old = map[string]string{}, map[string]bool{}
	}
	if before := t.last[image.Reference]; before != "" {
		t.old[before] = true
	}
	t.last[image.Reference] = id
	delete(t.old, id) // the sources went back to what they were
	t.mu.Unlock()
	t.Collect(ctx)
	return id, nil
}

// Collect takes away what is superseded and no longer used. Pods are replaced some time after a build: what is still in
// use is tried again the next time.
func (t *Tidy) Collect(ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.old {
		tags, err := t.run(ctx, "inspect", "--format", "{{len .RepoTags}}", id)
		if err != nil && ctx.Err() == nil {
			delete(t.old, id) // somebody else has removed it
			continue
		}
		if tags != "0" {
			continue
		}
		if _, err := t.run(ctx, "rm", id); err == nil { // never forced: the engine refuses while a container has it
			delete(t.old, id)
		}
	}
}

func (t *Tidy) run(ctx context.Context, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "docker", append([]string{"image"}, args...)...)
	if t.Host != "" {
		c.Env = append(os.Environ(), "DOCKER_HOST="+t.Host)
	}
	out, err := c.Output()
	return strings.TrimSpace(string(out)), err
}
