// Package env is what every verb gets from the root command: the streams, the chosen profile, and the way to its
// cluster. It exists so that a verb's constructor has one parameter and no verb reads flags or variables of the root.
package env

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/cmd/cli/iostreams"
	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/profile"
)

// Env is shared by all verbs of one command line.
type Env struct {
	IO *iostreams.IOStreams
	// Version is skiff's own.
	Version string
	// ProfileName is the value of --profile; read it after the flags were parsed.
	ProfileName string
}

// Profile opens the chosen profile. It neither reads nor creates anything.
func (e *Env) Profile() (*profile.Profile, error) {
	home, err := profile.Home()
	if err != nil {
		return nil, exit.With(exit.Home, err, "")
	}
	p, err := profile.Open(home, e.ProfileName)
	if err != nil {
		return nil, exit.With(exit.Usage, err, "")
	}
	return p, nil
}

// Home is the folder of all profiles.
func (e *Env) Home() (string, error) {
	p, err := e.Profile()
	if err != nil {
		return "", err
	}
	return filepath.Dir(p.Dir), nil
}

// Connect returns the running cluster, and fails with exit.NotRunning when there is none.
func (e *Env) Connect() (*client.Cluster, error) {
	p, err := e.Profile()
	if err != nil {
		return nil, err
	}
	return client.Connect(p)
}

// Ensure returns the cluster and starts it when it isn't running, saying so on standard error. A cluster that it
// starts for the first time gets its context in the user's kubeconfig, without becoming the current one.
func (e *Env) Ensure(ctx context.Context) (*client.Cluster, error) {
	p, err := e.Profile()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	said := false
	if !p.Running() {
		e.sayStarting(p)
		said = true
	}
	options := client.StartOptions{Version: e.Version}
	c, err := client.Ensure(ctx, p, options, nil)
	if err != nil {
		return nil, err
	}
	if !c.Started {
		return e.ReplaceOlder(ctx, p, c, options)
	}
	if !said {
		e.sayStarting(p)
	}
	if _, _, err := p.MergeKubeconfig(c.Credentials(), false); err != nil {
		// The verb goes on with credentials of its own.
		fmt.Fprintf(e.IO.ErrOut, "%s %v\n", e.IO.ErrColours().Yellow("warning:"), err)
	}
	fmt.Fprintf(e.IO.ErrOut, "skiff runs after %s\n", Duration(time.Since(begin)))
	return c, nil
}

func (e *Env) sayStarting(p *profile.Profile) {
	name := ""
	if p.Name != profile.DefaultName {
		name = fmt.Sprintf(" (profile %q)", p.Name)
	}
	fmt.Fprintf(e.IO.ErrOut, "skiff is not running%s: starting it\n", name)
}

// Command is how the user types skiff for this profile, for messages that show what to type next.
func (e *Env) Command(verb string) string {
	name := e.ProfileName
	if name == "" {
		name = profile.DefaultName
	}
	return (&profile.Profile{Name: name}).Command(verb)
}

// Count writes a number with the words that go with it: one where n is 1, else many.
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Duration writes d as people say it: 740 ms, 1.3 s, 2m10s.
func Duration(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}
