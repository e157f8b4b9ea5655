// Package shell is `skiff shell`: a shell inside the cluster's network, where Services have their names and addresses.
package shell

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/local/network"
	"skiff.local/skiff/runtime/docker"
)

// NewCmd returns the verb.
func NewCmd(e *env.Env) *cobra.Command {
	var image string
	c := &cobra.Command{
		Use:     "shell [--image IMAGE] [-- COMMAND...]",
		Aliases: []string{"ssh"},
		Short:   "Open a shell inside the cluster's network",
		Long: `Run a container on the cluster's network: names, ClusterIPs and pod addresses are those that pods see. It is no pod,
and it is gone when the shell ends.`,
		Example: `  skiff shell
  skiff shell --image curlimages/curl -- curl -s http://hello.default`,
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := e.Ensure(c.Context()); err != nil {
				return err
			}
			return run(c, e, image, args)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.Flags().StringVar(&image, "image", "busybox:1.37", "Image to run; it is pulled when the engine doesn't have it")
	return c
}

// dockerFailed is the exit code of `docker run` when the container could not be created or started.
const dockerFailed = 125

func run(c *cobra.Command, e *env.Env, image string, command []string) error {
	p, err := e.Profile()
	if err != nil {
		return err
	}
	settings, _, err := p.ReadSettings()
	if err != nil {
		return err
	}
	engine, err := e.Engine(c.Context())
	if err != nil {
		return err
	}
	host := engine.Host()
	_ = engine.Close()
	args := []string{"run", "--rm", "--interactive", "--network", docker.NetworkName(p.Name), "--hostname", "shell",
		"--dns", network.DNSAddr(settings.Subnet).String(), "--dns-option", "ndots:5",
		"--label", docker.LabelProfile + "=" + p.Name, "--label", docker.LabelRole + "=" + string(docker.RoleHelper)}
	for _, domain := range []string{"default.svc.cluster.local", "svc.cluster.local", "cluster.local"} {
		args = append(args, "--dns-search", domain)
	}
	if e.IO.IsInTTY() && e.IO.IsOutTTY() {
		args = append(args, "--tty")
	}
	if len(command) == 0 {
		command = []string{"sh"}
	}
	child := exec.CommandContext(c.Context(), "docker", append(append(args, image), command...)...)
	child.Env = append(os.Environ(), "DOCKER_HOST="+host)
	child.Stdin, child.Stdout, child.Stderr = e.IO.In, e.IO.Out, e.IO.ErrOut
	err = child.Run()
	var failed *exec.ExitError
	switch {
	case errors.As(err, &failed) && failed.ExitCode() == dockerFailed:
		return exit.With(exit.General, fmt.Errorf("open a shell: docker could not run the image %s (see above)", image),
			"--image NAME takes another one that has a shell; `"+e.Command("image ls")+"` lists what the engine has")
	case errors.As(err, &failed):
		return exit.Silent(exit.Code(failed.ExitCode()))
	case errors.Is(err, exec.ErrNotFound):
		return exit.With(exit.General, errors.New("open a shell: there is no docker command here"), "install the Docker CLI, or `"+e.Command("run -it --rm --image "+image+" shell -- sh")+"`")
	}
	return err
}
