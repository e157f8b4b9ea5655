// Package logs is `skiff logs`: the lines of any number of containers at once, told apart by colour, followed through
// restarts and replaced pods. It takes the flags of kubectl's verb of this name.
package logs

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	utilcomp "k8s.io/kubectl/pkg/util/completion"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/cmd/cli/iostreams"
	"skiff.local/skiff/cmd/cli/kube"
)

type options struct {
	factory cmdutil.Factory
	command func(verb string) string // as in env.Env
	io      *iostreams.IOStreams
	client  kubernetes.Interface

	follow        bool
	previous      bool
	timestamps    bool
	allNamespaces bool
	prefix        bool
	raw           bool
	container     string
	selector      string
	since         time.Duration
	sinceTime     string
	tail          int64
	limitBytes    int64
	grep, exclude string
	ingress       bool
	host          string

	show, hide *regexp.Regexp
	containers *regexp.Regexp
}

const example = `  skiff logs                        every pod of the namespace
  skiff logs -f deployment/web      all its pods, and those that replace them
  skiff logs web-0
  skiff logs '^web-.*' -c 'app|sidecar'
  skiff logs -f -l app=web --since 10m --grep 'error|panic'
  skiff logs --previous web-0
  skiff logs --ingress -f --host shop.localhost`

// Verb returns the verb, for mounting beside kubectl's.
func Verb(e *env.Env) kube.Verb {
	return kube.Verb{Name: "logs", Short: "Show the logs of pods, many at once", Example: example, Native: true, Build: func(f cmdutil.Factory, s genericiooptions.IOStreams) *cobra.Command {
		return newCmd(e, f)
	}}
}

func newCmd(e *env.Env, f cmdutil.Factory) *cobra.Command {
	o := &options{factory: f, command: e.Command, io: e.IO}
	c := &cobra.Command{
		Use:   "logs [POD | TYPE/NAME | REGEXP]...",
		Short: "Show the logs of pods, many at once",
		Long: `Show the logs of the containers of pods: one pod, all pods of a workload or a Service, all whose name matches a
regular expression, or all of the namespace. Lines of several pods are merged by time and told apart by colour.

With -f the lines are followed through restarts, and pods that appear later are followed too. Lines that are JSON objects
are shown as text on a terminal; --raw leaves them as they are.

With --ingress the requests to Ingresses and Gateways are shown instead: time, client, method, host, path, protocol, status,
bytes, duration, Service and pod. A connection of a TLSRoute has a line when it ends: "TLS", its name, listener and mode stand for
method, host, path and protocol.`,
		Example:           example,
		ValidArgsFunction: utilcomp.PodResourceNameCompletionFunc(f),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := env.Interruptible(c.Context())
			defer stop()
			if o.ingress {
				p, err := e.Profile()
				if err != nil {
					return err
				}
				if err := o.compile(); err != nil {
					return err
				}
				return o.showRequests(ctx, p.IngressLogPath(), args)
			}
			if o.host != "" {
				return exit.With(exit.Usage, errors.New("--host chooses among requests"), "use it with --ingress")
			}
			return o.run(ctx, args)
		},
	}
	l := c.Flags()
	l.BoolVarP(&o.follow, "follow", "f", false, "Follow the logs, through restarts and replaced pods")
	l.BoolVarP(&o.previous, "previous", "p", false, "Show the logs of the container before its last restart")
	l.BoolVar(&o.timestamps, "timestamps", false, "Put the time before each line")
	l.BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "Pods of every namespace")
	l.BoolVar(&o.prefix, "prefix", false, "Name the pod and the container before each line, even when there is only one")
	l.BoolVar(&o.raw, "raw", false, "Show lines that are JSON as they are")
	l.StringVarP(&o.container, "container", "c", "", "Only containers of this name, or that match this regular expression")
	l.StringVarP(&o.selector, "selector", "l", "", "Only pods with these labels")
	l.DurationVar(&o.since, "since", 0, "Only lines of this last while (5s, 2m, 3h)")
	l.StringVar(&o.sinceTime, "since-time", "", "Only lines after this time (RFC 3339)")
	l.Int64Var(&o.tail, "tail", -1, "Only this many last lines of each container (default: all; 10 when several are followed)")
	l.Int64Var(&o.limitBytes, "limit-bytes", 0, "At most this many bytes of each container")
	l.StringVar(&o.grep, "grep", "", "Only lines that match this regular expression")
	l.StringVar(&o.exclude, "exclude", "", "No lines that match this regular expression")
	l.BoolVar(&o.ingress, "ingress", false, "Show the requests to Ingresses and Gateways")
	l.StringVar(&o.host, "host", "", "With --ingress: only requests to this host")
	// What kubectl's verb needs these for happens by itself.
	l.Bool("all-containers", true, "")
	l.Bool("ignore-errors", false, "")
	l.Int("max-log-requests", 0, "")
	l.Duration("pod-running-timeout", 0, "")
	l.Bool("insecure-skip-tls-verify-backend", false, "")
	for _, name := range []string{"all-containers", "ignore-errors", "max-log-requests", "pod-running-timeout", "insecure-skip-tls-verify-backend"} {
		_ = l.MarkHidden(name)
	}
	_ = c.RegisterFlagCompletionFunc("container", utilcomp.ContainerCompletionFunc(f))
	return c
}

func (o *options) run(ctx context.Context, args []string) error {
	if err := o.compile(); err != nil {
		return err
	}
	var err error
	if o.client, err = o.factory.KubernetesClientSet(); err != nil {
		return err
	}
	// `logs POD CONTAINER` is kubectl's older form.
	if len(args) == 2 && o.container == "" && o.isPod(ctx, args[0]) && !o.isPod(ctx, args[1]) {
		o.container, args = args[1], args[:1]
		if err := o.compile(); err != nil {
			return err
		}
	}
	t, err := o.resolve(ctx, args)
	if err != nil {
		return err
	}
	if o.follow {
		return o.followAll(ctx, t)
	}
	return o.print(ctx, t)
}

func (o *options) compile() error {
	for _, p := range []struct {
		flag, text string
		into       **regexp.Regexp
		whole      bool
	}{{"--grep", o.grep, &o.show, false}, {"--exclude", o.exclude, &o.hide, false}, {"--container", o.container, &o.containers, true}} {
		if p.text == "" {
			continue
		}
		text := p.text
		if p.whole {
			text = "^(?:" + text + ")$"
		}
		r, err := regexp.Compile(text)
		if err != nil {
			return exit.With(exit.Usage, fmt.Errorf("%s: %w", p.flag, err), "")
		}
		*p.into = r
	}
	if o.follow && o.previous {
		return exit.With(exit.Usage, fmt.Errorf("--follow and --previous exclude each other: what is over can't be followed"), "")
	}
	return nil
}

// request is what is asked of the kubelet for one container. With several containers, timestamps order the lines.
func (o *options) request(container string, tail int64, stamped bool) (*corev1.PodLogOptions, error) {
	r := &corev1.PodLogOptions{Container: container, Previous: o.previous, Follow: o.follow, Timestamps: stamped || o.timestamps}
	if tail >= 0 {
		r.TailLines = &tail
	}
	if o.limitBytes > 0 {
		r.LimitBytes = &o.limitBytes
	}
	if o.since > 0 {
		seconds := int64((o.since + time.Second - 1) / time.Second)
		r.SinceSeconds = &seconds
	}
	if o.sinceTime != "" {
		at, err := o.parseSinceTime()
		if err != nil {
			return nil, err
		}
		t := metav1.NewTime(at)
		r.SinceTime = &t
	}
	return r, nil
}

func (o *options) parseSinceTime() (time.Time, error) {
	at, err := time.Parse(time.RFC3339, o.sinceTime)
	if err != nil {
		return at, exit.With(exit.Usage, fmt.Errorf("--since-time: %w", err), "write it as 2026-01-31T12:00:00Z")
	}
	return at, nil
}
