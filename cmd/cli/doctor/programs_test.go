package doctor

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/local/client"
	"skiff.local/skiff/runtime/docker"
)

func TestAPairThatWasTornApartIsFound(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a shell script stands in for skiffd")
	}
	for name, c := range map[string]struct {
		skiffd string
		level  Level
		says   string
	}{
		"of one release":  {"echo 1.2.0", Good, "1.2.0"},
		"another release": {"echo 1.1.0", Bad, "1.1.0"},
		"a broken file":   {"exit 1", Bad, "does not run"},
		"no file":         {"", Bad, "SKIFFD"},
	} {
		path := filepath.Join(t.TempDir(), "skiffd")
		if c.skiffd != "" {
			if err := os.WriteFile(path, []byte("#!/bin/sh\n"+c.skiffd+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv(client.EnvProgram, path)
		f := checkPrograms(t.Context(), &patient{env: &env.Env{Version: "1.2.0"}})[0]
		if f.Level != c.level || !strings.Contains(f.Message, c.says) || f.Level == Bad && (f.Cure == "" || f.code != exit.Program) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestAnEngineWhoseClockIsOffIsFound(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		engine time.Time
		want   Level
	}{{now.Add(time.Second), Good}, {now.Add(-time.Minute), Notice}, {now.Add(time.Minute), Notice}, {time.Time{}, Good}} {
		p := &patient{info: &docker.EngineInfo{Time: c.engine}, asked: now}
		if f := checkClock(t.Context(), p)[0]; f.Level != c.want {
			t.Errorf("an engine whose clock is at %s: %+v", c.engine, f)
		}
	}
}
