package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"skiff.local/skiff/runtime/docker"
)

func containers(t *testing.T, s *suite) {
	t.Run("a container goes from created to running to exited", func(t *testing.T) {
		spec := s.spec("sleep")
		id := s.create(t, spec)
		c := s.inspect(t, id)
		if c.State.Status != docker.StatusCreated || c.State.Running || !c.State.StartedAt.IsZero() || c.Name != spec.Name {
			t.Errorf("after create: %+v, name %q", c.State, c.Name)
		}
		if c.Image != s.image || !strings.HasPrefix(c.ImageID, "sha256:") {
			t.Errorf("image %q, id %q", c.Image, c.ImageID)
		}
		if err := s.eng.StartContainer(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		c = s.inspect(t, id)
		if c.State.Status != docker.StatusRunning || !c.State.Running || c.State.Pid == 0 || c.State.StartedAt.IsZero() {
			t.Errorf("after start: %+v", c.State)
		}
		if err := s.eng.StopContainer(t.Context(), id, docker.StopOptions{Grace: patience}); err != nil {
			t.Fatal(err)
		}
		c = s.inspect(t, id)
		if c.State.Status != docker.StatusExited || c.State.Running || c.State.ExitCode != 143 || c.State.FinishedAt.IsZero() || c.State.OOMKilled {
			t.Errorf("after stop: %+v", c.State)
		}
	})
	t.Run("starting what runs and stopping what doesn't is no error", func(t *testing.T) {
		id := s.create(t, s.spec("sleep"))
		ctx := t.Context()
		for _, step := range []func() error{
			func() error { return s.eng.StopContainer(ctx, id, docker.StopOptions{}) },
			func() error { return s.eng.StartContainer(ctx, id) },
			func() error { return s.eng.StartContainer(ctx, id) },
			func() error { return s.eng.StopContainer(ctx, id, docker.StopOptions{}) },
			func() error {
				return s.eng.StopContainer(ctx, id, docker.StopOptions{Signal: "SIGINT", Grace: time.Second})
			},
		} {
			if err := step(); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("a name is taken until its container is removed", func(t *testing.T) {
		spec := s.spec("sleep")
		id := s.create(t, spec)
		_, err := s.eng.CreateContainer(t.Context(), spec)
		wantError(t, "second create", err, docker.ErrConflict)
		if err := s.eng.RemoveContainer(t.Context(), id, docker.RemoveOptions{}); err != nil {
			t.Fatal(err)
		}
		s.create(t, spec)
	})
	t.Run("a missing image is told apart", func(t *testing.T) {
		spec := s.spec("sleep")
		spec.Image = "skiff.local/no-such-image:1"
		_, err := s.eng.CreateContainer(t.Context(), spec)
		wantError(t, "create", err, docker.ErrNotFound)
		wantError(t, "create", err, docker.ErrNoImage)
	})
	t.Run("everything about a missing container is not found", func(t *testing.T) {
		ctx, id := t.Context(), "t-no-such-container"
		calls := map[string]error{
			"start":  s.eng.StartContainer(ctx, id),
			"stop":   s.eng.StopContainer(ctx, id, docker.StopOptions{}),
			"kill":   s.eng.KillContainer(ctx, id, ""),
			"remove": s.eng.RemoveContainer(ctx, id, docker.RemoveOptions{Force: true}),
			"attach": s.eng.Attach(ctx, id, docker.Streams{Stdout: &buffer{}}),
			"logs":   s.eng.Logs(ctx, id, docker.LogOptions{}, &buffer{}, nil),
			"copy":   s.eng.CopyTo(ctx, id, "/", bytes.NewReader(nil), docker.CopyOptions{}),
			"update": s.eng.UpdateResources(ctx, id, docker.Resources{CPUShares: 2}),
			"rename": s.eng.RenameContainer(ctx, id, id+"-new"),
		}
		_, calls["inspect"] = s.eng.InspectContainer(ctx, id)
		_, calls["wait"] = s.eng.WaitContainer(ctx, id, docker.WaitNotRunning)
		_, calls["exec"] = s.eng.Exec(ctx, id, docker.ExecSpec{Cmd: []string{"x"}}, docker.Streams{})
		_, calls["stat"] = s.eng.StatPath(ctx, id, "/")
		for what, err := range calls {
			wantError(t, what, err, docker.ErrNotFound)
			if errors.Is(err, docker.ErrNoImage) {
				t.Errorf("%s: taken for a missing image: %v", what, err)
			}
		}
	})
	t.Run("a running container is removed by force only", func(t *testing.T) {
		id := s.start(t, s.spec("sleep"))
		wantError(t, "remove", s.eng.RemoveContainer(t.Context(), id, docker.RemoveOptions{}), docker.ErrConflict)
		if err := s.eng.RemoveContainer(t.Context(), id, docker.RemoveOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
		_, err := s.eng.InspectContainer(t.Context(), id)
		wantError(t, "inspect", err, docker.ErrNotFound)
	})
	t.Run("lists are filtered by all labels", func(t *testing.T) {
		labels := s.labels()
		one, two := s.spec("sleep"), s.spec("sleep")
		one.Labels, two.Labels = labels, map[string]string{"skiff.local/test": labels["skiff.local/test"], "extra": "yes"}
		idOne, idTwo := s.create(t, one), s.start(t, two)
		for _, c := range []struct {
			opts docker.ListOptions
			want []string
		}{
			{docker.ListOptions{Labels: map[string]string{"skiff.local/test": labels["skiff.local/test"]}}, []string{idTwo, idOne}},
			{docker.ListOptions{Labels: map[string]string{"skiff.local/test": labels["skiff.local/test"], "extra": ""}}, []string{idTwo}},
			{docker.ListOptions{Labels: map[string]string{"skiff.local/test": labels["skiff.local/test"]}, RunningOnly: true}, []string{idTwo}},
			{docker.ListOptions{Labels: labels}, []string{idOne}},
			{docker.ListOptions{Labels: map[string]string{"skiff.local/test": "other"}}, nil},
		} {
			list, err := s.eng.ListContainers(t.Context(), c.opts)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, l := range list {
				got = append(got, l.ID)
				if l.ID == idTwo && (l.Name != two.Name || l.Status != docker.StatusRunning || l.Labels["extra"] != "yes" || l.Image != s.image) {
					t.Errorf("summary %+v", l)
				}
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("%v: got %v, want %v", c.opts, got, c.want)
			}
		}
	})
	t.Run("resources change while it runs", func(t *testing.T) {
		if !s.hasCgroups(t) {
			t.Skip("the engine runs without cgroups")
		}
		spec := s.spec("sleep")
		spec.Resources = docker.Resources{CPUShares: 512, Memory: 64 << 20, MemorySwap: 64 << 20, PidsLimit: 100}
		id := s.start(t, spec)
		if r := s.inspect(t, id).Resources; r.CPUShares != 512 || r.Memory != 64<<20 || r.PidsLimit != 100 {
			t.Errorf("after create: %+v", r)
		}
		if err := s.eng.UpdateResources(t.Context(), id, docker.Resources{CPUShares: 256, Memory: 96 << 20, MemorySwap: 96 << 20}); err != nil {
			t.Fatal(err)
		}
		if r := s.inspect(t, id).Resources; r.CPUShares != 256 || r.Memory != 96<<20 || r.PidsLimit != 100 {
			t.Errorf("after update: %+v", r)
		}
	})
	t.Run("a cancelled context is found with errors.Is", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.eng.InspectContainer(ctx, "x")
		wantError(t, "inspect", err, context.Canceled)
		if errors.Is(err, docker.ErrNoEngine) {
			t.Errorf("a cancelled call looks like a missing engine: %v", err)
		}
	})
	t.Run("one name can follow another", func(t *testing.T) {
		id := s.start(t, s.spec("sleep"))
		name := UniqueName("renamed")
		if err := s.eng.RenameContainer(t.Context(), id, name); err != nil {
			t.Fatal(err)
		}
		if got := s.inspect(t, name); got.ID != id {
			t.Errorf("found %s under the new name, want %s", got.ID, id)
		}
	})
}

func processes(t *testing.T, s *suite) {
	t.Run("exit codes are kept", func(t *testing.T) {
		for _, code := range []int{0, 1, 42, 255} {
			id, got := s.finish(t, s.spec("exit", map[int]string{0: "0", 1: "1", 42: "42", 255: "255"}[code]))
			if got != code || s.inspect(t, id).State.ExitCode != code {
				t.Errorf("got %d and %d, want %d", got, s.inspect(t, id).State.ExitCode, code)
			}
		}
	})
	t.Run("an executable that doesn't exist fails the start and leaves the reason", func(t *testing.T) {
		spec := s.spec()
		spec.Entrypoint = []string{"/no/such/program"}
		id := s.create(t, spec)
		err := s.eng.StartContainer(t.Context(), id)
		wantError(t, "start", err, docker.ErrInvalid)
		if err == nil || !strings.Contains(err.Error(), "/no/such/program") {
			t.Errorf("the error does not name the program: %v", err)
		}
		if c := s.inspect(t, id); c.State.Running || c.State.ExitCode != 127 || c.State.Error == "" {
			t.Errorf("state %+v", c.State)
		}
	})
	t.Run("command and entrypoint replace the image's", func(t *testing.T) {
		spec := s.spec()
		spec.Entrypoint, spec.Cmd = []string{ProgPath, "print", "from the entrypoint"}, []string{",", "env", "FROM_IMAGE", ",", "env", "FROM_SPEC"}
		spec.Env = []string{"FROM_SPEC=both"}
		id, _ := s.finish(t, spec)
		if out, _ := s.logs(t, id, docker.LogOptions{}); out != "from the entrypoint\nyes\nboth\n" {
			t.Errorf("output %q", out)
		}
	})
	t.Run("a graceful stop waits, a stubborn process is killed", func(t *testing.T) {
		graceful, stubborn := s.start(t, s.spec("print", "up", ",", "graceful", "100ms")), s.start(t, s.spec("print", "up", ",", "stubborn"))
		s.logged(t, graceful, "up")
		s.logged(t, stubborn, "up")
		for id, c := range map[string]struct {
			grace time.Duration
			code  int
		}{graceful: {patience, 0}, stubborn: {time.Second, 137}} {
			if err := s.eng.StopContainer(t.Context(), id, docker.StopOptions{Grace: c.grace}); err != nil {
				t.Fatal(err)
			}
			if got := s.inspect(t, id).State; got.ExitCode != c.code || got.Running {
				t.Errorf("state %+v, want exit code %d", got, c.code)
			}
		}
	})
	t.Run("a stop may bring its own signal", func(t *testing.T) {
		id := s.start(t, s.spec("print", "up", ",", "sleep"))
		s.logged(t, id, "up")
		if err := s.eng.StopContainer(t.Context(), id, docker.StopOptions{Signal: "SIGINT", Grace: patience}); err != nil {
			t.Fatal(err)
		}
		if got := s.inspect(t, id).State.ExitCode; got != 130 {
			t.Errorf("exit code %d, want 130", got)
		}
		id = s.start(t, s.spec("print", "up", ",", "stubborn"))
		s.logged(t, id, "up")
		if err := s.eng.StopContainer(t.Context(), id, docker.StopOptions{Signal: "SIGINT", Grace: time.Second}); err != nil {
			t.Fatal(err)
		}
		if got := s.inspect(t, id).State.ExitCode; got != 137 {
			t.Errorf("exit code %d, want 137", got)
		}
	})
	t.Run("the spec's stop signal is used", func(t *testing.T) {
		spec := s.spec("print", "up", ",", "sleep")
		spec.StopSignal = "SIGINT"
		id := s.start(t, spec)
		s.logged(t, id, "up")
		if err := s.eng.StopContainer(t.Context(), id, docker.StopOptions{Grace: patience}); err != nil {
			t.Fatal(err)
		}
		if got := s.inspect(t, id).State.ExitCode; got != 130 {
			t.Errorf("exit code %d, want 130", got)
		}
	})
	t.Run("a signal that doesn't end the process arrives", func(t *testing.T) {
		id := s.start(t, s.spec("print", "up", ",", "sleep"))
		s.logged(t, id, "up")
		if err := s.eng.KillContainer(t.Context(), id, "SIGUSR1"); err != nil {
			t.Fatal(err)
		}
		s.logged(t, id, "signal USR1")
	})
	t.Run("killing what doesn't run is a conflict", func(t *testing.T) {
		id, _ := s.finish(t, s.spec("exit", "0"))
		wantError(t, "kill", s.eng.KillContainer(t.Context(), id, ""), docker.ErrConflict)
	})
	t.Run("a container can run again and keeps its log", func(t *testing.T) {
		id, _ := s.finish(t, s.spec("print", "again"))
		if err := s.eng.StartContainer(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if _, err := s.eng.WaitContainer(t.Context(), id, docker.WaitNotRunning); err != nil {
			t.Fatal(err)
		}
		if out, _ := s.logs(t, id, docker.LogOptions{}); out != "again\nagain\n" {
			t.Errorf("log %q", out)
		}
	})
	t.Run("waiting ends with the process, the removal or the context", func(t *testing.T) {
		id := s.start(t, s.spec("sleep", "300ms", ",", "exit", "7"))
		if code, err := s.eng.WaitContainer(within(t), id, docker.WaitNextExit); err != nil || code != 7 {
			t.Errorf("next exit: %d, %v", code, err)
		}
		id = s.start(t, s.spec("sleep"))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := s.eng.WaitContainer(ctx, id, docker.WaitNotRunning)
		wantError(t, "bounded wait", err, context.DeadlineExceeded)
		removed := make(chan error, 1)
		go func() {
			_, err := s.eng.WaitContainer(within(t), id, docker.WaitRemoved)
			removed <- err
		}()
		if err := s.eng.RemoveContainer(t.Context(), id, docker.RemoveOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
		if err := <-removed; err != nil && !errors.Is(err, docker.ErrNotFound) {
			t.Errorf("wait for removal: %v", err)
		}
		id = s.create(t, s.spec("sleep"))
		if code, err := s.eng.WaitContainer(within(t), id, docker.WaitNotRunning); err != nil || code != 0 {
			t.Errorf("not running, for a container never started: %d, %v", code, err)
		}
	})
	t.Run("a process that loses its pid namespace dies with it", func(t *testing.T) {
		owner := s.start(t, s.spec("sleep"))
		spec := s.spec("stubborn")
		spec.PID = docker.ContainerMode(owner)
		joined := s.start(t, spec)
		if err := s.eng.KillContainer(t.Context(), owner, ""); err != nil {
			t.Fatal(err)
		}
		if code, err := s.eng.WaitContainer(within(t), joined, docker.WaitNotRunning); err != nil || code != 137 {
			t.Errorf("joined: %d, %v", code, err)
		}
	})
}
