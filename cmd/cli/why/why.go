// Package why is `skiff why`: what the node is doing about a pod right now, what it waits for, and what failed. describe
// shows what happened; this shows what keeps the next thing from happening.
package why

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	utilcomp "k8s.io/kubectl/pkg/util/completion"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/cmd/cli/iostreams"
	"skiff.local/skiff/cmd/cli/kube"
)

const example = `  skiff why web-0
  skiff why web-0 -n shop -o json`

// explanation is what the daemon answers.
type explanation struct {
	Namespace, Name, Phase string
	At                     time.Time
	Running                []struct {
		What  string
		Since time.Time
	}
	Waits []struct {
		Container, Reason, Message string
		Until                      time.Time
	}
	Failures []struct {
		What, Reason, Message string
		At                    time.Time
		Count                 int
	}
	Next time.Time
}

// Verb returns the verb, for mounting beside kubectl's.
func Verb(e *env.Env) kube.Verb {
	return kube.Verb{Name: "why", Short: "Say what a pod waits for, and what failed", Example: example, Build: func(f cmdutil.Factory, _ genericiooptions.IOStreams) *cobra.Command {
		return newCmd(e, f)
	}}
}

func newCmd(e *env.Env, f cmdutil.Factory) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "why POD",
		Short: "Say what a pod waits for, and what failed",
		Long: `Say what the node is doing about a pod right now, what it waits for and until when, and what failed how often. describe
shows what happened; this shows what keeps the next thing from happening.`,
		Example:           example,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: utilcomp.ResourceNameCompletionFunc(f, "pod"),
		RunE: func(c *cobra.Command, args []string) error {
			namespace, _, err := f.ToRawKubeConfigLoader().Namespace()
			if err != nil {
				return err
			}
			pod := args[0]
			if kind, name, ok := strings.Cut(pod, "/"); ok {
				if !slices.Contains([]string{"pod", "pods", "po"}, kind) {
					return exit.With(exit.Usage, fmt.Errorf("%s is no pod", pod), "name one of its pods: `"+e.Command("get pods -n "+namespace)+"` lists them")
				}
				pod = name
			}
			return run(c.Context(), e, namespace, pod, output)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "Output format: json")
	return c
}

func run(ctx context.Context, e *env.Env, namespace, name, output string) error {
	if output != "" && output != "json" {
		return exit.With(exit.Usage, fmt.Errorf("unknown output format %q", output), "use -o json, or leave it out")
	}
	cluster, err := e.Ensure(ctx)
	if err != nil {
		return err
	}
	var raw json.RawMessage
	path := "pods/" + url.PathEscape(namespace) + "/" + url.PathEscape(name) + "/why"
	if err := cluster.Call(ctx, http.MethodGet, path, nil, &raw); err != nil {
		return err
	}
	if output == "json" {
		_, err := fmt.Fprintf(e.IO.Out, "%s\n", raw)
		return err
	}
	var x explanation
	if err := json.Unmarshal(raw, &x); err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
	}
	render(e.IO.Out, x, e.IO.Colours(), time.Now())
	return nil
}

func render(w io.Writer, x explanation, c iostreams.Colours, now time.Time) {
	fmt.Fprintf(w, "pod %s/%s is %s\n", x.Namespace, x.Name, c.Bold(x.Phase))
	for _, r := range x.Running {
		fmt.Fprintf(w, "  %s  %s, for %s\n", c.Cyan("doing "), r.What, env.Duration(now.Sub(r.Since)))
	}
	for _, wait := range x.Waits {
		line := wait.Reason
		if wait.Message != "" {
			line += ": " + wait.Message
		}
		if wait.Container != "" {
			line = "container " + wait.Container + ": " + line
		}
		if !wait.Until.IsZero() {
			line += ", for another " + env.Duration(max(0, wait.Until.Sub(now)))
		}
		fmt.Fprintf(w, "  %s  %s\n", c.Yellow("waits "), line)
	}
	for _, f := range x.Failures {
		fmt.Fprintf(w, "  %s  %s: %s: %s (%s, last %s ago)\n", c.Red("failed"), f.What, f.Reason, f.Message, times(f.Count), env.Duration(now.Sub(f.At)))
	}
	if len(x.Running)+len(x.Waits)+len(x.Failures) == 0 {
		fmt.Fprintln(w, "  nothing is pending: it is what it should be")
	}
	if !x.Next.IsZero() && x.Next.After(now) {
		fmt.Fprintf(w, "  the node looks again in %s, or when something happens\n", env.Duration(x.Next.Sub(now)))
	}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
