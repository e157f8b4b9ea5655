package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A terminal runs a command as a person's terminal emulator does: on a pseudo-terminal that can be typed into and resized.
type terminal struct {
	t       *testing.T
	screen  *os.File
	command *exec.Cmd
	ended   chan struct{}

	mu    sync.Mutex
	shown strings.Builder
}

// openTerminal runs a command on a terminal of 24 rows and 80 columns.
func openTerminal(t *testing.T, name string, args ...string) *terminal {
	t.Helper()
	screen, line, err := openPTY()
	if err != nil {
		t.Fatalf("open a pseudo-terminal: %v", err)
	}
	defer line.Close()
	term := &terminal{t: t, screen: screen, command: exec.Command(name, args...), ended: make(chan struct{})}
	term.resize(24, 80)
	term.command.Env = append(append([]string{}, shared.env...), "TERM=xterm")
	term.command.Stdin, term.command.Stdout, term.command.Stderr = line, line, line
	term.command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := term.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := screen.Read(buffer)
			term.mu.Lock()
			term.shown.Write(buffer[:n])
			term.mu.Unlock()
			if err != nil { // EIO when the last process has closed its side
				return
			}
		}
	}()
	go func() { _ = term.command.Wait(); close(term.ended) }()
	t.Cleanup(func() {
		_ = term.command.Process.Kill()
		<-term.ended
		_ = screen.Close()
	})
	return term
}

func openPTY() (screen, line *os.File, err error) {
	screen, err = os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	fd := int(screen.Fd())
	unlockErr := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err = errors.Join(unlockErr, err); err == nil {
		line, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		_ = screen.Close()
		return nil, nil, err
	}
	return screen, line, nil
}

func (term *terminal) resize(rows, columns uint16) {
	term.t.Helper()
	if err := unix.IoctlSetWinsize(int(term.screen.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		term.t.Fatalf("resize the terminal: %v", err)
	}
}

func (term *terminal) enter(text string) {
	term.t.Helper()
	if _, err := term.screen.WriteString(text); err != nil {
		term.t.Fatalf("type %q: %v", text, err)
	}
}

// written is everything that the command has written so far.
func (term *terminal) written() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.shown.String()
}

// shows waits until the terminal has shown want.
func (term *terminal) shows(want string) {
	term.t.Helper()
	eventually(term.t, slow, func() string {
		if shown := term.written(); !strings.Contains(shown, want) {
			return fmt.Sprintf("no %q on the terminal:\n%s", want, shown)
		}
		return ""
	})
}

// answers types a line, again and again, until the terminal shows want: what a size or an attached program takes its way to,
// a person would type again for.
func (term *terminal) answers(line, want string) {
	term.t.Helper()
	eventually(term.t, slow, func() string {
		term.enter(line + "\n")
		if shown := term.written(); !strings.Contains(shown, want) {
			return fmt.Sprintf("%q is not answered with %q:\n%s", line, want, shown)
		}
		return ""
	})
}

// exits waits for the command's end.
func (term *terminal) exits(code int) {
	term.t.Helper()
	eventually(term.t, slow, func() string {
		select {
		case <-term.ended:
			return ""
		default:
			return "the command runs on"
		}
	})
	if got := term.command.ProcessState.ExitCode(); got != code {
		term.t.Errorf("exit code %d, want %d; the terminal:\n%s", got, code, term.shown.String())
	}
}

func TestTerminals(t *testing.T) {
	ensureStarted(t)
	namespace(t, "terminals")
	kubectl(t, "create", "-f", file(t, "pods.yaml", `
apiVersion: v1
kind: Pod
metadata: {name: shell}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: web, image: "IMAGE:0.1"}
  - {name: shell, image: "IMAGE:0.1", tty: true, stdin: true, command: [sh]}
`))
	kubectl(t, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=90s")

	run := openTerminal(t, shared.kubectl, "run", "brief", "-it", "--rm", "--restart=Never", "--image="+shared.image+":0.1", "--command", "--", "sh", "-c", "read line; echo got $line; exit 9")

	shell := openTerminal(t, shared.kubectl, "exec", "-it", "shell", "-c", "web", "--", "sh")
	shell.answers("busybox stty size", "24 80")
	shell.resize(41, 123)
	shell.answers("busybox stty size", "41 123")
	shell.enter("sleep 1000\n")
	eventuallyPrints(t, "sleep 1000", "exec", "shell", "-c", "web", "--", "ps")
	shell.enter("\x03")
	shell.enter("echo code=$?\n")
	shell.shows("code=130")
	shell.enter("exit 7\n")
	shell.exits(7)

	attached := openTerminal(t, shared.kubectl, "attach", "-it", "shell", "-c", "shell")
	attached.resize(33, 99)
	attached.answers("busybox stty size", "33 99")
	// Whoever leaves leaves the container running; whoever exits ends it, and it is started again.
	_ = attached.command.Process.Kill()
	restarts := "{.status.containerStatuses[?(@.name=='shell')].restartCount}"
	again := openTerminal(t, shared.kubectl, "attach", "-it", "shell", "-c", "shell")
	again.answers("echo the same $((20+3))", "the same 23")
	if got := jsonpath(t, restarts, "pod", "shell"); got != "0" {
		t.Errorf("%s restarts although nobody ended the shell", got)
	}
	again.enter("exit\n")
	again.exits(0)
	eventuallyPrints(t, "1", "get", "pod", "shell", "-o", "jsonpath="+restarts)

	eventuallyPrints(t, "true", "get", "pod", "brief", "-o", "jsonpath={.status.containerStatuses[0].ready}")
	run.enter("it\n")
	run.shows("got it")
	run.exits(9)
	if got := kubectl(t, "get", "pods", "-o", "name"); strings.Contains(got, "brief") {
		t.Errorf("kubectl run --rm has left %s", got)
	}
}
