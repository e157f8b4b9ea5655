// Package service is `skiff service`: where the Services of the cluster answer on this machine.
package service

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/local/client"
)

type options struct {
	env       *env.Env
	namespace string
	url       bool
	output    string
	open      bool
	wait      time.Duration
}

// NewCmd returns `skiff service`.
func NewCmd(e *env.Env) *cobra.Command {
	o := &options{env: e}
	c := &cobra.Command{
		Use:     "service [NAME]",
		Aliases: []string{"services"},
		Short:   "Show the URLs of Services on localhost",
		Long: `Show where the Services of type NodePort and LoadBalancer, and the hosts of Ingresses and of the Gateway API's routes,
answer on this machine. With a NAME, so do the Ingresses and routes that lead to the Service. Nothing needs to be
tunnelled or forwarded: these URLs are there as long as the cluster runs.`,
		Example: `  skiff service
  skiff service hello --url
  curl $(skiff service hello --url)`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: o.completeNames,
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := env.Interruptible(c.Context())
			defer stop()
			return o.run(ctx, args)
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&o.url, "url", false, "Print nothing but the URL, one a line")
	c.Flags().StringVarP(&o.output, "output", "o", "", "Output format: json")
	return c
}

// NewOpenCmd returns `skiff open`.
func NewOpenCmd(e *env.Env) *cobra.Command {
	o := &options{env: e, open: true}
	c := &cobra.Command{
		Use:   "open NAME",
		Short: "Open a Service's URL in the browser",
		Example: `  skiff open hello
  skiff open hello -n web`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: o.completeNames,
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := env.Interruptible(c.Context())
			defer stop()
			return o.run(ctx, args)
		},
	}
	o.flags(c)
	return c
}

func (o *options) flags(c *cobra.Command) {
	c.Flags().StringVarP(&o.namespace, "namespace", "n", "", "The Service's namespace (default: any)")
	c.Flags().DurationVar(&o.wait, "wait", 5*time.Second, "How long to wait for a named Service to have a URL")
}

func (o *options) run(ctx context.Context, args []string) error {
	cluster, err := o.env.Ensure(ctx)
	if err != nil {
		return err
	}
	name := ""
	if len(args) == 1 {
		name = args[0]
		if ns, rest, ok := strings.Cut(name, "/"); ok {
			o.namespace, name = ns, rest
		}
	}
	found, err := o.find(ctx, cluster, name)
	if err != nil {
		return err
	}
	switch {
	case o.open:
		for _, s := range found {
			if len(s.URLs) > 0 {
				return o.browse(ctx, s.URLs[0])
			}
		}
		return nil // there is one: see find
	case o.output == "json":
		raw, err := json.MarshalIndent(found, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintln(o.env.IO.Out, string(raw))
	case o.output != "":
		return exit.With(exit.Usage, fmt.Errorf("unknown output format %q", o.output), "use -o json, or leave it out")
	case o.url:
		for _, s := range found {
			for _, u := range s.URLs {
				fmt.Fprintln(o.env.IO.Out, u)
			}
		}
	default:
		o.table(found)
	}
	return nil
}

// find returns the matching Services. A named one is waited for: its listener appears a moment after the object does.
func (o *options) find(ctx context.Context, cluster *client.Cluster, name string) ([]client.ServiceStatus, error) {
	deadline := time.Now().Add(o.wait)
	for {
		status, err := cluster.Status(ctx)
		if err != nil {
			return nil, err
		}
		found := matching(status.Services, o.namespace, name)
		if name == "" || slices.ContainsFunc(found, func(s client.ServiceStatus) bool { return len(s.URLs) > 0 }) {
			return found, nil
		}
		if time.Now().After(deadline) {
			return nil, o.notFound(name, found)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// matching are those of the name, and then what leads to a Service of that name, with the URLs from which it does.
func matching(all []client.ServiceStatus, namespace, name string) []client.ServiceStatus {
	var found, leading []client.ServiceStatus
	for _, s := range all {
		if (name == "" || s.Name == name) && (namespace == "" || s.Namespace == namespace) {
			found = append(found, s)
			continue
		}
		var urls []string
		for _, to := range slices.Sorted(maps.Keys(s.To)) {
			if in, service, _ := strings.Cut(to, "/"); name != "" && service == name && (namespace == "" || in == namespace) {
				urls = append(urls, s.To[to]...)
			}
		}
		if len(urls) > 0 {
			s.URLs = urls
			leading = append(leading, s)
		}
	}
	return append(found, leading...)
}

func (o *options) notFound(name string, found []client.ServiceStatus) error {
	if len(found) > 0 && found[0].Problem != "" {
		return exit.With(exit.Unwell, fmt.Errorf("Service %s/%s has no URL: %s", found[0].Namespace, found[0].Name, found[0].Problem), o.env.Command("status"))
	}
	return exit.With(exit.General, fmt.Errorf("no Service, Ingress or route %q answers on localhost", name),
		"Services do that are of type NodePort or LoadBalancer; see `"+o.env.Command("get services,ingresses -A")+"`")
}

func (o *options) table(found []client.ServiceStatus) {
	if len(found) == 0 {
		fmt.Fprintln(o.env.IO.ErrOut, "nothing answers on localhost; make a Service of type NodePort or LoadBalancer, an Ingress, or a route of a Gateway")
		return
	}
	w := tabwriter.NewWriter(o.env.IO.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAMESPACE\tNAME\tTYPE\tURL")
	for _, s := range found {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Namespace, s.Name, s.Type, strings.TrimSpace(strings.Join(append(s.URLs, s.Problem), " ")))
	}
	_ = w.Flush()
}

// browse hands the URL to what opens URLs here. It prints it too: over ssh there is no browser to see.
func (o *options) browse(ctx context.Context, url string) error {
	fmt.Fprintln(o.env.IO.Out, url)
	var command *exec.Cmd
	switch runtime.GOOS {
	case "darwin":
		command = exec.CommandContext(ctx, "open", url)
	case "windows":
		command = exec.CommandContext(ctx, "rundll32", "url.dll,FileProtocolHandler", url)
	default:
		command = exec.CommandContext(ctx, "xdg-open", url)
	}
	if err := command.Run(); err != nil {
		fmt.Fprintf(o.env.IO.ErrOut, "no browser could be opened here (%v)\n", err)
	}
	return nil
}

func (o *options) completeNames(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	cluster, err := o.env.Connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(c.Context(), 2*time.Second)
	defer cancel()
	status, err := cluster.Status(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, s := range matching(status.Services, o.namespace, "") {
		names = append(names, s.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
