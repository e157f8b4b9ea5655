package docker

import (
	"context"
	"io"
	"time"
)

// TerminalSize is a terminal's size in characters.
type TerminalSize struct{ Width, Height uint16 }

// Streams connects a caller to a process. Nil streams are not attached. With TTY there is one output stream, Stdout.
type Streams struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	TTY    bool
	// Resize delivers terminal sizes until it is closed; nil when there are none.
	Resize <-chan TerminalSize
}

// ExecSpec is a command to run in a running container.
type ExecSpec struct {
	Cmd        []string
	Env        []string
	WorkingDir string
	User       string
	TTY        bool
	Privileged bool
	// Size is the terminal's first size; a zero size leaves it to the engine.
	Size TerminalSize
	// KillImage, when set, makes the command killable: it is started with a marker in its environment by which
	// KillExec finds it and everything it started, from a helper container of this image. Exec kills the command
	// when its context ends; without KillImage it can only stop listening to it.
	KillImage string
}

// ExecState is what the engine knows about an exec.
type ExecState struct {
	ID          string
	ContainerID string
	Running     bool
	ExitCode    int
	Pid         int // in the engine host's pid namespace
}

// Session is a command running in a container, with its streams. Read returns standard output (with a TTY: everything),
// Write feeds standard input. Close ends the connection, not the command.
type Session interface {
	io.ReadWriteCloser
	// ID is the exec's id.
	ID() string
	// CloseWrite ends standard input and leaves the output open.
	CloseWrite() error
	// Resize changes the terminal's size.
	Resize(ctx context.Context, size TerminalSize) error
	// Wait returns the exit code once the command has ended. It does not read the streams.
	Wait(ctx context.Context) (int, error)
	// Kill ends the command and what it started; it needs ExecSpec.KillImage.
	Kill(ctx context.Context) error
}

// LogOptions selects from a container's log.
type LogOptions struct {
	// TTY must say whether the container has one: its log then is one stream.
	TTY        bool
	Follow     bool
	Timestamps bool // RFC 3339 with nanoseconds and a space before each line
	Since      time.Time
	Until      time.Time
	// Tail is how many of the last lines to begin with; nil is all of them.
	Tail *int
}

// Actions of the events that are about the stream itself; their Type is "engine".
const (
	// EventGap: the stream begins here, for the first time or anew. What happened before may have been missed: list.
	EventGap = "gap"
	// EventLost: the connection broke or could not be made; Event.Err says why. It is being tried again.
	EventLost = "lost"
)

// Event is something that happened in the engine.
type Event struct {
	Time   time.Time
	Type   string // "container", "image", "network", "volume"; "engine" for EventGap and EventLost
	Action string // "create", "start", "die", "oom", "destroy", "exec_die"…
	ID     string // of the container, image, network or volume
	// Attributes carry a container's labels, "name", "image", "exitCode", "execID"…
	Attributes map[string]string
	// Err is why the stream was interrupted; only on EventLost.
	Err error
}

// EventOptions narrows the stream of events. Filtering happens in the engine.
type EventOptions struct {
	Since   time.Time // replay from here as far as the engine remembers (its last 256 events)
	Types   []string
	Actions []string
	Labels  map[string]string // only containers' events carry labels reliably
}
