// Command bench measures a built skiff as a user meets it, whole processes on a real engine, beside the same engine calls
// made bare and beside kubectl in the same run. It prints a table and asserts nothing: figures depend on the machine, the
// ratios much less.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"skiff.local/skiff/local/profile"
	"skiff.local/skiff/runtime/docker"
)

// bench is one run: a profile of its own, in a folder of its own.
type bench struct {
	bin     string
	kubectl string
	home    string
	profile *profile.Profile
	rounds  int
	idle    time.Duration
	report  report

	probe    string                  // the probe's image, once it is loaded
	extraEnv []string                // of commands, besides the usual
	atEnd    []func(context.Context) // cleanup, last first

	engine *docker.Engine
	client kubernetes.Interface
}

func main() {
	var b bench
	flag.StringVar(&b.bin, "skiff", os.Getenv("SKIFF_BIN"), "the `binary` to measure")
	flag.StringVar(&b.kubectl, "kubectl", os.Getenv("SKIFF_TEST_KUBECTL"), "a stock kubectl to compare with")
	flag.IntVar(&b.rounds, "rounds", 7, "how often each figure is taken; the median counts")
	flag.DurationVar(&b.idle, "idle", 30*time.Second, "how long the idle daemon is watched")
	only := flag.String("only", "", "comma-separated sections: start, memory, pods, podman, fleet, loop, cli, clusterip, nodeport, ingress, dns, services, rollouts")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.run(ctx, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, only string) (err error) {
	if b.home, err = os.MkdirTemp("", "skiff-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.home)
	if b.profile, err = profile.Open(b.home, fmt.Sprintf("bench-%d", os.Getpid())); err != nil {
		return err
	}
	if b.engine, err = docker.Connect(ctx, docker.Options{}); err != nil {
		return err
	}
	defer b.engine.Close()
	defer func() {
		for _, clean := range slices.Backward(b.atEnd) {
			clean(context.WithoutCancel(ctx))
		}
	}()
	defer func() {
		// Without the caller's context: an interrupted run cleans up as well.
		if _, cleanErr := b.skiff(context.WithoutCancel(ctx), "delete", "--yes"); err == nil {
			err = cleanErr
		}
	}()
	sections := []struct {
		name string
		run  func(context.Context) error
	}{
		{"start", b.start}, {"memory", b.memory}, {"pods", b.pods}, {"podman", b.podman}, {"fleet", b.fleet}, {"loop", b.loop}, {"cli", b.cli},
		{"clusterip", b.clusterIP}, {"nodeport", b.nodePort}, {"ingress", b.ingress}, {"dns", b.dns}, {"services", b.services}, {"rollouts", b.rollouts},
	}
	if _, err := b.skiff(ctx, "start"); err != nil {
		return err
	}
	for _, s := range sections {
		if only != "" && !strings.Contains(","+only+",", ","+s.name+",") {
			continue
		}
		fmt.Fprintln(os.Stderr, "measuring:", s.name)
		if err := b.connect(); err != nil {
			return err
		}
		if err := s.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	b.report.print(os.Stdout)
	return nil
}

// connect takes the credentials of the daemon that runs now.
func (b *bench) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", b.profile.KubeconfigPath())
	if err != nil {
		return err
	}
	config.QPS = -1
	b.client, err = kubernetes.NewForConfig(config)
	return err
}

func (b *bench) env() []string {
	return append(append(os.Environ(), b.extraEnv...),
		profile.EnvHome+"="+b.home, profile.EnvProfile+"="+b.profile.Name,
		"KUBECONFIG="+filepath.Join(b.home, "kubeconfig"), "NO_COLOR=1")
}
