package cli

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"skiff.local/skiff/cmd/cli/docs"
	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/cmd/cli/iostreams"
	"skiff.local/skiff/local/profile"
)

// command runs a command line on buffers, in a home without clusters.
func command(t *testing.T, args ...string) (out, errOut string, code exit.Code) {
	t.Helper()
	t.Setenv("SKIFF_HOME", t.TempDir())
	io, _, o, eo := iostreams.Test()
	e := &env.Env{IO: io, Version: "1.2.3", ProfileName: profile.DefaultName}
	root := NewRoot(e)
	root.SetArgs(args)
	code = Report(e, root.ExecuteContext(t.Context()))
	return o.String(), eo.String(), code
}

func TestMistypedCommandLines(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		code exit.Code
		want string
	}{
		"an unknown verb":                {[]string{"frobnicate"}, exit.Usage, "error: skiff has no verb \"frobnicate\"\ntry: see `skiff --help`\n"},
		"a verb that is nearly right":    {[]string{"strat"}, exit.Usage, "error: skiff has no verb \"strat\"\ntry: did you mean `skiff start`?\n"},
		"an unknown verb of a verb":      {[]string{"profile", "lst"}, exit.Usage, "error: skiff profile has no verb \"lst\"\ntry: did you mean `skiff profile list` or"},
		"an argument is missing":         {[]string{"open"}, exit.Usage, "error: skiff open takes NAME, and got nothing\ntry: see `skiff open --help`\n"},
		"an argument too many":           {[]string{"stop", "now"}, exit.Usage, "error: skiff stop takes no argument, and got \"now\"\ntry: see `skiff stop --help`\n"},
		"a mounted verb without its pod": {[]string{"why"}, exit.Usage, "error: skiff why takes POD, and got nothing\n"},
		"a workload instead of a pod":    {[]string{"why", "deployment/web"}, exit.Usage, "error: deployment/web is no pod\n"},
		"a template that is none":        {[]string{"new", "wep"}, exit.Usage, "error: skiff new has no template \"wep\"\ntry: did you mean `skiff new web`?\n"},
		"a cluster that doesn't run":     {[]string{"pause"}, exit.NotRunning, "error: nothing runs that could be paused (profile \"skiff\")\ntry: skiff start\n"},
		"a verb of a verb is missing":    {[]string{"config"}, exit.OK, ""},
		"an unknown flag":                {[]string{"status", "--frob"}, exit.Usage, "error: unknown flag: --frob\ntry: see `skiff status --help`\n"},
		"an unknown output format":       {[]string{"status", "-o", "xml"}, exit.Usage, "error: unknown output format \"xml\"\ntry: use -o json, or leave it out\n"},
		"a profile that can't be a name": {[]string{"-p", "A_b", "status"}, exit.Usage, "invalid profile name"},
	} {
		t.Run(name, func(t *testing.T) {
			_, errOut, code := command(t, test.args...)
			if code != test.code || !strings.Contains(errOut, test.want) {
				t.Errorf("skiff %s: code %d, want %d\n%s\nwant %s", strings.Join(test.args, " "), code, test.code, errOut, test.want)
			}
		})
	}
}

func TestTheProfileIsTakenBeforeAndAfterTheVerb(t *testing.T) {
	for _, args := range [][]string{
		{"-p", "blue", "status"},
		{"status", "-p", "blue"},
		{"status", "--profile=blue"},
	} {
		out, _, code := command(t, args...)
		if code != exit.NotRunning || !strings.Contains(out, "profile blue") {
			t.Errorf("skiff %s: %d %q", strings.Join(args, " "), code, out)
		}
	}
}

func TestDeleteTellsClustersFromObjects(t *testing.T) {
	out, errOut, code := command(t, "delete", "--help")
	if code != exit.OK || !strings.Contains(out, "every\n") && !strings.Contains(out, "Delete the cluster") && !strings.Contains(out, "delete the cluster") {
		t.Errorf("skiff delete --help: %d %s%s", code, out, errOut)
	}
}

// The reference is generated; this fails when somebody changed a verb and not the page.
func TestTheReferenceIsCurrent(t *testing.T) {
	io, _, _, _ := iostreams.Test()
	e := &env.Env{IO: io, ProfileName: profile.DefaultName}
	want := docs.Markdown(NewRoot(e), Built(e))
	got, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/cli.md is not what the commands say; run `make docs` (-want +got):\n%s", diff)
	}
}

func TestEveryVerbExplainsItself(t *testing.T) {
	io, _, _, _ := iostreams.Test()
	root := NewRoot(&env.Env{IO: io, ProfileName: profile.DefaultName})
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Hidden || c.DisableFlagParsing && c.Example == "" {
			return // kubectl's verbs bring their own
		}
		if c != root && c.Name() != "help" {
			if c.Short == "" || strings.HasSuffix(c.Short, ".") {
				t.Errorf("%s: the short text %q is empty or ends with a full stop", c.CommandPath(), c.Short)
			}
			if c.Runnable() && !c.HasSubCommands() && c.Example == "" {
				t.Errorf("%s has no example", c.CommandPath())
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

// The examples in the help are command lines that parse. That they also work is what the end-to-end tests are for.
func TestTheExamplesInTheHelpParse(t *testing.T) {
	io, _, _, _ := iostreams.Test()
	e := &env.Env{IO: io, ProfileName: profile.DefaultName}
	built := Built(e)
	examples := 0
	var walk func(*cobra.Command)
	check := func(c *cobra.Command) {
		for _, line := range strings.Split(c.Example, "\n") {
			args, ok := exampleArgs(line)
			if !ok {
				continue
			}
			examples++
			if err := parses(NewRoot(&env.Env{IO: io, ProfileName: profile.DefaultName}), built, args); err != nil {
				t.Errorf("%s: the example %q: %v", c.CommandPath(), strings.TrimSpace(line), err)
			}
		}
	}
	walk = func(c *cobra.Command) {
		check(c)
		for _, sub := range c.Commands() {
			if real := built(sub.Name()); real != nil && !c.HasParent() {
				check(real) // what lies below it is kubectl's
				continue
			}
			walk(sub)
		}
	}
	walk(NewRoot(e))
	if examples < 50 {
		t.Errorf("only %d examples were found", examples)
	}
}

// exampleArgs takes the arguments of skiff out of a line of an example.
func exampleArgs(line string) ([]string, bool) {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "KUBECONFIG=") {
		_, line, _ = strings.Cut(line, " ")
	}
	rest, ok := strings.CutPrefix(line, "skiff ")
	if !ok {
		return nil, false
	}
	rest, _, _ = strings.Cut(rest, "  ") // an explanation follows
	rest, _, _ = strings.Cut(rest, " | ")
	var args []string
	for i, part := range strings.Split(rest, "'") {
		if i%2 == 1 {
			args = append(args, part) // quoted
			continue
		}
		args = append(args, strings.Fields(part)...)
	}
	return args, true
}

func parses(root *cobra.Command, built func(string) *cobra.Command, args []string) error {
	found, rest, err := root.Traverse(args)
	if err != nil {
		return err
	}
	if found == root {
		return unknownVerb(root, args[0])
	}
	if real := built(found.Name()); real != nil {
		found = real
	} else if found.DisableFlagParsing {
		return nil // kubectl's own, or handed on
	}
	if err := found.ParseFlags(rest); err != nil {
		return err
	}
	return found.ValidateArgs(found.Flags().Args())
}
