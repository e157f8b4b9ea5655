// Command skiffd is the cluster itself: Kubernetes' control plane, the node and the network in one process. skiff starts
// it and is all that people type; it is a program of its own so that the verbs need not carry the control plane.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/cmd/skiffd/flags"
	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/daemon"
	"skiff.local/skiff/local/profile"
)

// version is stamped by the linker (see the Makefile).
var version = client.Unstamped

func main() { os.Exit(int(run(os.Args[1:], os.Stdout, os.Stderr))) }

// run runs a cluster in the foreground until a signal or a verb ends it. It writes its progress to out as JSON lines and
// its log to errOut.
func run(args []string, out *os.File, errOut *os.File) exit.Code {
	o, name, err := parse(args, errOut)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return exit.OK
	case errors.Is(err, errVersion):
		fmt.Fprintln(out, version)
		return exit.OK
	case err != nil:
		return refuse(err, out, errOut)
	}
	p, err := open(name)
	if err != nil {
		return refuse(err, out, errOut)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	code, message, hint := exit.Of(daemon.Run(ctx, daemon.Options{Profile: p, Start: o, Version: version, Events: out, Logger: logger(newLogFile(errOut, p.LogPath()), o.Verbosity)}))
	say(errOut, message, hint)
	return code
}

var errVersion = errors.New("only the version is asked for")

// parse reads the flags. That the two programs belong together is checked first: the other flags of a skiff of another
// version may mean nothing here.
func parse(args []string, errOut io.Writer) (o client.StartOptions, profileName string, err error) {
	f := pflag.NewFlagSet("skiffd", pflag.ContinueOnError)
	f.SetOutput(errOut)
	f.SortFlags = false
	f.Usage = func() {
		fmt.Fprintf(errOut, "skiffd runs a skiff cluster in the foreground, until Ctrl-C; pods keep running. `skiff start` starts it.\n\nFlags:\n%s", f.FlagUsages())
	}
	f.StringVar(&o.Version, client.VersionFlag, "", "Refuse to run unless this is skiffd's own version")
	f.StringVarP(&profileName, "profile", "p", profile.NameFromEnv(), "The cluster to run")
	flags.Add(f, &o)
	show := f.Bool("version", false, "Print skiffd's version")
	err = f.Parse(args)
	if o.Version != "" && !client.BelongTogether(o.Version, version) {
		self, _ := os.Executable()
		return o, "", &client.Failure{
			Reason:  client.ReasonProgram,
			Message: fmt.Sprintf("skiff is %s, and its daemon %s is %s: they are not of one release", o.Version, self, version),
			Hint:    "install both again, or name the right skiffd with " + client.EnvProgram,
		}
	}
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return o, "", err
	case err != nil:
		return o, "", exit.With(exit.Usage, err, "see `skiffd --help`")
	case f.NArg() > 0:
		return o, "", exit.With(exit.Usage, fmt.Errorf("skiffd takes no argument, got %q", f.Arg(0)), "see `skiffd --help`")
	case *show:
		return o, "", errVersion
	}
	return o, profileName, nil
}

func open(name string) (*profile.Profile, error) {
	home, err := profile.Home()
	if err != nil {
		return nil, exit.With(exit.Home, err, "")
	}
	p, err := profile.Open(home, name)
	return p, exit.With(exit.Usage, err, "")
}

// refuse tells both who may wait: the verb that reads the events, and the person who reads the log.
func refuse(err error, out, errOut io.Writer) exit.Code {
	code, message, hint := exit.Of(err)
	f := client.AsFailure(err)
	if f == nil {
		f = &client.Failure{Reason: client.ReasonInvalid, Message: message, Hint: hint}
	}
	_ = json.NewEncoder(out).Encode(client.Event{Failure: f})
	say(errOut, message, hint)
	return code
}

// say tells what went wrong, and what to try where that is known.
func say(errOut io.Writer, message, hint string) {
	if message != "" {
		fmt.Fprintln(errOut, "error:", message)
	}
	if hint != "" {
		fmt.Fprintln(errOut, "try:", hint)
	}
}
