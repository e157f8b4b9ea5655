// Package prog is the program that test containers run. The real engine runs it as a static binary (command prog below
// this package), the fake engine calls Run in-process: a test that uses it means the same on both.
package prog

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Proc is the process that the program runs as.
type Proc struct {
	Args   []string // without the program's own name
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Getenv func(string) string
	// Signals delivers "TERM", "INT", "HUP", "USR1". KILL is not delivered, it cancels the context.
	Signals   <-chan string
	ReadFile  func(string) ([]byte, error)
	WriteFile func(string, []byte) error
	// Spawn starts the program once more as a child that is not waited for.
	Spawn func(args ...string) error
}

// Run executes the steps in p.Args, which a lone comma separates, and returns the exit code of the first one that fails
// or the last one. The steps:
//
//	exit N              end with this code
//	print TEXT          a line on standard output
//	complain TEXT       a line on standard error
//	sleep [DURATION]    wait; forever without a duration. TERM and INT end the program with 128 plus their number
//	stubborn            wait forever, whatever the signal
//	graceful DURATION   wait for TERM, take this long to end, with code 0
//	cat [FILE]          copy a file or standard input to standard output
//	lines               answer every line of standard input with "got LINE"
//	env NAME            print a variable
//	write FILE TEXT     write a file
//	spawn STEP…         start a child with the rest as its steps
//	flood BYTES         this many bytes on standard output
//	hog BYTES           use this much memory from here on
func Run(ctx context.Context, p Proc) int {
	for len(p.Args) > 0 {
		step := p.Args
		p.Args = nil
		if step[0] != "spawn" {
			for i, a := range step {
				if a == "," {
					step, p.Args = step[:i], step[i+1:]
					break
				}
			}
		}
		if len(step) == 0 {
			continue
		}
		code, end := runStep(ctx, p, step[0], step[1:])
		if end || code != 0 {
			return code
		}
	}
	return 0
}

// numbers are the signals' numbers on Linux.
func number(signal string) int {
	return map[string]int{"HUP": 1, "INT": 2, "USR1": 10, "TERM": 15}[signal]
}

func runStep(ctx context.Context, p Proc, verb string, args []string) (code int, end bool) {
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	fail := func(err error) (int, bool) {
		fmt.Fprintf(p.Stderr, "%s: %v\n", verb, err)
		return 1, true
	}
	switch verb {
	case "exit":
		code, err := strconv.Atoi(arg(0))
		if err != nil {
			return fail(err)
		}
		return code, true
	case "print":
		fmt.Fprintln(p.Stdout, strings.Join(args, " "))
	case "complain":
		fmt.Fprintln(p.Stderr, strings.Join(args, " "))
	case "sleep":
		return sleep(ctx, p, arg(0))
	case "stubborn":
		<-ctx.Done()
		return 137, true
	case "graceful":
		d, err := time.ParseDuration(arg(0))
		if err != nil {
			return fail(err)
		}
		select {
		case <-p.Signals:
		case <-ctx.Done():
			return 137, true
		}
		select {
		case <-time.After(d):
			return 0, true
		case <-ctx.Done():
			return 137, true
		}
	case "cat":
		if arg(0) == "" {
			if _, err := io.Copy(p.Stdout, p.Stdin); err != nil {
				return fail(err)
			}
			return 0, false
		}
		data, err := p.ReadFile(arg(0))
		if err != nil {
			return fail(err)
		}
		_, _ = p.Stdout.Write(data)
	case "lines":
		s := bufio.NewScanner(p.Stdin)
		for s.Scan() {
			fmt.Fprintf(p.Stdout, "got %s\n", strings.TrimRight(s.Text(), "\r"))
		}
	case "env":
		fmt.Fprintln(p.Stdout, p.Getenv(arg(0)))
	case "write":
		if err := p.WriteFile(arg(0), []byte(strings.Join(args[1:], " "))); err != nil {
			return fail(err)
		}
	case "spawn":
		if err := p.Spawn(args...); err != nil {
			return fail(err)
		}
		return sleep(ctx, p, "")
	case "flood":
		n, err := strconv.Atoi(arg(0))
		if err != nil {
			return fail(err)
		}
		chunk := []byte(strings.Repeat("x", 1<<15-1) + "\n")
		for ; n > 0; n -= len(chunk) {
			if _, err := p.Stdout.Write(chunk[:min(n, len(chunk))]); err != nil {
				return fail(err)
			}
		}
	case "hog":
		n, err := strconv.Atoi(arg(0))
		if err != nil {
			return fail(err)
		}
		memory := bytes.Repeat([]byte{1}, n)
		defer runtime.KeepAlive(memory)
		return Run(ctx, p), true
	default:
		return fail(fmt.Errorf("unknown step"))
	}
	return 0, false
}

func sleep(ctx context.Context, p Proc, duration string) (int, bool) {
	var over <-chan time.Time
	if duration != "" {
		d, err := time.ParseDuration(duration)
		if err != nil {
			fmt.Fprintf(p.Stderr, "sleep: %v\n", err)
			return 1, true
		}
		over = time.After(d)
	}
	for {
		select {
		case <-over:
			return 0, false
		case s := <-p.Signals:
			if s == "TERM" || s == "INT" {
				return 128 + number(s), true
			}
			fmt.Fprintf(p.Stdout, "signal %s\n", s)
		case <-ctx.Done():
			return 137, true
		}
	}
}
