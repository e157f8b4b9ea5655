package runtimetest

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"skiff.local/skiff/runtime/docker"
)

func steps(s ...string) []string { return append([]string{ProgPath}, s...) }

func execs(t *testing.T, s *suite) {
	id := s.start(t, s.spec("sleep"))
	exec := func(t *testing.T, streams docker.Streams, cmd ...string) int {
		t.Helper()
		code, err := s.eng.Exec(within(t), id, docker.ExecSpec{Cmd: cmd}, streams)
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	t.Run("both outputs and the exit code come back", func(t *testing.T) {
		var out, errs bytes.Buffer
		code := exec(t, docker.Streams{Stdout: &out, Stderr: &errs}, steps("print", "hello", ",", "complain", "no", ",", "exit", "3")...)
		if code != 3 || out.String() != "hello\n" || errs.String() != "no\n" {
			t.Errorf("code %d, stdout %q, stderr %q", code, out.String(), errs.String())
		}
	})
	t.Run("nobody need listen", func(t *testing.T) {
		if code := exec(t, docker.Streams{}, steps("print", "x", ",", "complain", "y", ",", "cat", ",", "exit", "4")...); code != 4 {
			t.Errorf("code %d", code)
		}
	})
	t.Run("the end of stdin is passed on while output goes on", func(t *testing.T) {
		var out bytes.Buffer
		code := exec(t, docker.Streams{Stdin: strings.NewReader("one\ntwo\n"), Stdout: &out}, steps("lines", ",", "print", "end")...)
		if code != 0 || out.String() != "got one\ngot two\nend\n" {
			t.Errorf("code %d, output %q", code, out.String())
		}
	})
	t.Run("a lot of output arrives whole", func(t *testing.T) {
		var out bytes.Buffer
		if code := exec(t, docker.Streams{Stdout: &out}, steps("flood", "3000000")...); code != 0 || out.Len() != 3000000 {
			t.Errorf("code %d, %d bytes", code, out.Len())
		}
	})
	t.Run("environment and user are set", func(t *testing.T) {
		var out bytes.Buffer
		_, err := s.eng.Exec(within(t), id, docker.ExecSpec{Cmd: steps("env", "X", ",", "env", "FROM_IMAGE"), Env: []string{"X=1"}, User: "1000"}, docker.Streams{Stdout: &out})
		if err != nil || out.String() != "1\nyes\n" {
			t.Errorf("%v, output %q", err, out.String())
		}
	})
	t.Run("a program that doesn't exist has a shell's exit code and says why", func(t *testing.T) {
		var out bytes.Buffer
		code := exec(t, docker.Streams{Stdout: &out, Stderr: &out}, "/no/such/program")
		if code != 126 && code != 127 || !strings.Contains(out.String(), "/no/such/program") {
			t.Errorf("code %d, output %q", code, out.String())
		}
	})
	t.Run("a container that doesn't run is a conflict", func(t *testing.T) {
		stopped := s.create(t, s.spec("sleep"))
		_, err := s.eng.Exec(within(t), stopped, docker.ExecSpec{Cmd: steps("exit", "0")}, docker.Streams{})
		wantError(t, "exec", err, docker.ErrConflict)
	})
	t.Run("a session talks both ways until its end", func(t *testing.T) {
		var errs buffer
		session, err := s.eng.StartExec(within(t), id, docker.ExecSpec{Cmd: steps("complain", "oops", ",", "lines", ",", "exit", "5")}, &errs)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = session.Close() }()
		answer := make([]byte, len("got ping\n"))
		for range 3 {
			if _, err := io.WriteString(session, "ping\n"); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(session, answer); err != nil || string(answer) != "got ping\n" {
				t.Fatalf("%q, %v", answer, err)
			}
		}
		if state, err := s.eng.InspectExec(t.Context(), session.ID()); err != nil || !state.Running {
			t.Errorf("while it runs: %+v, %v", state, err)
		}
		if err := session.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(session); err != nil || len(rest) != 0 {
			t.Errorf("after the end: %q, %v", rest, err)
		}
		if code, err := session.Wait(within(t)); err != nil || code != 5 {
			t.Errorf("code %d, %v", code, err)
		}
		if errs.String() != "oops\n" {
			t.Errorf("stderr %q", errs.String())
		}
	})
	t.Run("a terminal has one output", func(t *testing.T) {
		session, err := s.eng.StartExec(within(t), id, docker.ExecSpec{Cmd: steps("complain", "to stderr"), TTY: true, Size: docker.TerminalSize{Width: 100, Height: 30}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = session.Close() }()
		if out, err := io.ReadAll(session); err != nil || strings.TrimSpace(string(out)) != "to stderr" {
			t.Errorf("%q, %v", out, err)
		}
	})
	t.Run("a command that outlives its context is killed with what it started", func(t *testing.T) {
		before := s.threads(t, id)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		spec := docker.ExecSpec{Cmd: steps("spawn", "stubborn"), KillImage: s.helper, User: "1000"}
		_, err := s.eng.Exec(ctx, id, spec, docker.Streams{Stdout: &buffer{}})
		wantError(t, "exec", err, context.DeadlineExceeded)
		eventually(t, "nothing is left of the command", func() bool { return s.threads(t, id) <= before+1 })
		if c := s.inspect(t, id); !c.State.Running {
			t.Error("the container itself was killed")
		}
	})
	t.Run("a killable session is killed", func(t *testing.T) {
		session, err := s.eng.StartExec(within(t), id, docker.ExecSpec{Cmd: steps("stubborn"), KillImage: s.helper}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = session.Close() }()
		if err := session.Kill(within(t)); err != nil {
			t.Fatal(err)
		}
		if code, err := session.Wait(within(t)); err != nil || code != 137 {
			t.Errorf("code %d, %v", code, err)
		}
	})
	t.Run("an exec dies with its container", func(t *testing.T) {
		other := s.start(t, s.spec("sleep"))
		session, err := s.eng.StartExec(within(t), other, docker.ExecSpec{Cmd: steps("print", "up", ",", "stubborn")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = session.Close() }()
		if _, err := io.ReadFull(session, make([]byte, len("up\n"))); err != nil {
			t.Fatal(err)
		}
		if err := s.eng.KillContainer(t.Context(), other, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(session); err != nil {
			t.Error(err)
		}
		if code, err := session.Wait(within(t)); err == nil && code != 137 {
			t.Errorf("code %d", code)
		}
	})
}

func (s *suite) hasCgroups(t *testing.T) bool {
	t.Helper()
	info, err := s.eng.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.HasCgroups()
}

// threads counts a container's threads, as the kernel does: a test program has several. On the fake it is always 0, and
// where there are no cgroups to count them.
func (s *suite) threads(t *testing.T, id string) uint64 {
	t.Helper()
	if !s.hasCgroups(t) {
		return 0
	}
	stats, err := s.eng.Stats(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return stats.Pids
}

func streams(t *testing.T, s *suite) {
	t.Run("logs keep streams, order and times", func(t *testing.T) {
		before := time.Now().Add(-time.Second)
		id, _ := s.finish(t, s.spec("print", "one", ",", "complain", "two", ",", "print", "three"))
		out, errs := s.logs(t, id, docker.LogOptions{})
		if out != "one\nthree\n" || errs != "two\n" {
			t.Errorf("stdout %q, stderr %q", out, errs)
		}
		out, _ = s.logs(t, id, docker.LogOptions{Timestamps: true})
		for line := range strings.Lines(out) {
			stamp, _, _ := strings.Cut(line, " ")
			if at, err := time.Parse(time.RFC3339Nano, stamp); err != nil || at.Before(before) || at.After(time.Now().Add(time.Second)) {
				t.Errorf("line %q: %v", line, err)
			}
		}
		if out, _ := s.logs(t, id, docker.LogOptions{Since: time.Now().Add(time.Hour)}); out != "" {
			t.Errorf("from the future: %q", out)
		}
		if out, _ := s.logs(t, id, docker.LogOptions{Until: before}); out != "" {
			t.Errorf("from the past: %q", out)
		}
		var only bytes.Buffer
		if err := s.eng.Logs(t.Context(), id, docker.LogOptions{}, nil, &only); err != nil || only.String() != "two\n" {
			t.Errorf("only stderr: %q, %v", only.String(), err)
		}
	})
	t.Run("a tail begins at the end", func(t *testing.T) {
		id, _ := s.finish(t, s.spec("print", "one", ",", "print", "two", ",", "print", "three"))
		for n, want := range map[int]string{0: "", 1: "three\n", 2: "two\nthree\n", 99: "one\ntwo\nthree\n"} {
			if out, _ := s.logs(t, id, docker.LogOptions{Tail: &n}); out != want {
				t.Errorf("tail %d: %q", n, out)
			}
		}
	})
	t.Run("following ends with the container", func(t *testing.T) {
		id := s.start(t, s.spec("print", "early", ",", "sleep", "200ms", ",", "print", "late"))
		var out buffer
		if err := s.eng.Logs(within(t), id, docker.LogOptions{Follow: true}, &out, nil); err != nil {
			t.Fatal(err)
		}
		if out.String() != "early\nlate\n" {
			t.Errorf("followed %q", out.String())
		}
	})
	t.Run("following ends with its context", func(t *testing.T) {
		id := s.start(t, s.spec("print", "up", ",", "sleep"))
		s.logged(t, id, "up")
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err := s.eng.Logs(ctx, id, docker.LogOptions{Follow: true}, &buffer{}, nil)
		wantError(t, "follow", err, context.DeadlineExceeded)
	})
	t.Run("an attached client talks to the process", func(t *testing.T) {
		spec := s.spec("lines", ",", "exit", "9")
		spec.Stdin, spec.StdinOnce = true, true
		id := s.start(t, spec)
		var out buffer
		r, w := io.Pipe()
		done := make(chan error, 1)
		go func() { done <- s.eng.Attach(within(t), id, docker.Streams{Stdin: r, Stdout: &out}) }()
		if _, err := io.WriteString(w, "hello\n"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the process answers", func() bool { return out.String() == "got hello\n" })
		_ = w.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if code, err := s.eng.WaitContainer(within(t), id, docker.WaitNotRunning); err != nil || code != 9 {
			t.Errorf("code %d, %v", code, err)
		}
	})
	t.Run("an attachment ends with its context, the container doesn't", func(t *testing.T) {
		id := s.start(t, s.spec("sleep"))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		wantError(t, "attach", s.eng.Attach(ctx, id, docker.Streams{Stdout: &buffer{}}), context.DeadlineExceeded)
		if !s.inspect(t, id).State.Running {
			t.Error("the container ended")
		}
	})
	t.Run("a terminal can be resized and its log is one stream", func(t *testing.T) {
		spec := s.spec("print", "one", ",", "complain", "two", ",", "sleep")
		spec.TTY, spec.Stdin = true, true
		id := s.start(t, spec)
		eventually(t, "both lines are logged", func() bool {
			out, _ := s.logs(t, id, docker.LogOptions{TTY: true})
			return strings.ReplaceAll(out, "\r", "") == "one\ntwo\n"
		})
		if err := s.eng.ResizeTTY(t.Context(), id, docker.TerminalSize{Width: 80, Height: 24}); err != nil {
			t.Error(err)
		}
	})
}
