package daemon

import (
	"log/slog"
	"strings"
	"testing"

	"skiff.local/skiff/watch/event"
)

func TestABuildersLinesDoNotFillTheLog(t *testing.T) {
	for _, tc := range []struct {
		event event.Event
		want  slog.Level
	}{
		{event.Event{Type: event.BuildOutput}, slog.LevelDebug},
		{event.Event{Type: event.BuildFailed}, slog.LevelWarn},
		{event.Event{Type: event.SyncFailed}, slog.LevelWarn},
		{event.Event{Type: event.Object, Action: event.Failed}, slog.LevelWarn},
		{event.Event{Type: event.Object, Action: event.Unchanged}, slog.LevelDebug},
		{event.Event{Type: event.Built}, slog.LevelInfo},
	} {
		if got := levelOf(tc.event); got != tc.want {
			t.Errorf("%s %s is logged as %s, want %s", tc.event.Type, tc.event.Action, got, tc.want)
		}
	}
	if got := textOf(event.Event{Type: event.BuildFailed, Image: "app", Lines: []string{"no such package"}}); !strings.Contains(got, "no such package") {
		t.Errorf("the log says %q and not why the build failed", got)
	}
}
