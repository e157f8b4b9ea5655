package privateengine

import (
	"os"
	"path/filepath"
	"testing"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/runtimetest"
)

func TestAPrivateEngineRestartsAndLeavesNothing(t *testing.T) {
	var dir string
	t.Run("while it runs", func(t *testing.T) {
		e := Start(t, Options{DiskSize: "96m"})
		dir = e.dir
		engine := e.Connect()
		image := runtimetest.ProgImage(t, engine)
		id, err := engine.CreateContainer(t.Context(), docker.ContainerSpec{Image: image, Cmd: []string{"sleep"}, Network: "bridge"})
		if err != nil {
			t.Fatal(err)
		}
		for name, end := range map[string]func(){"stopped": e.Down, "killed": e.Kill} {
			if err := engine.StartContainer(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			end()
			if err := engine.Ping(t.Context()); err == nil {
				t.Errorf("an engine that was %s answers", name)
			}
			e.Up()
			if c, err := engine.InspectContainer(t.Context(), id); err != nil || c.State.Status == docker.StatusRunning {
				t.Errorf("after the engine was %s: %+v, %v", name, c, err)
			}
		}
	})
	if dir == "" {
		t.SkipNow()
	}
	left, _ := filepath.Glob("/sys/fs/cgroup/*/" + filepath.Base(dir))
	if _, err := os.Stat(dir); err == nil || len(left) > 0 {
		t.Errorf("left: %s, %v, %q", dir, err, left)
	}
}
