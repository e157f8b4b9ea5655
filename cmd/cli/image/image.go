// Package image is `skiff image`: the images that pods can run, which are simply those of the Docker Engine.
package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/runtime/docker"
)

// NewCmd returns the verb.
func NewCmd(e *env.Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "image",
		Short: "Show and make the images that pods can run",
		Long: `The images of the Docker Engine are the images of the cluster: what docker build made is what a pod runs. Nothing
needs to be loaded or pushed. These verbs are here for habit and for engines that are not on this machine.`,
		Aliases: []string{"images"},
	}
	c.AddCommand(newListCmd(e), newLoadCmd(e), newBuildCmd(e), newRemoveCmd(e))
	return c
}

func newListCmd(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List the images that pods can run", Args: cobra.NoArgs,
		Example:           "  skiff image ls",
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			engine, err := e.Engine(c.Context())
			if err != nil {
				return err
			}
			defer engine.Close()
			images, err := engine.ListImages(c.Context(), nil)
			if err != nil {
				return err
			}
			return list(e.IO.Out, images, time.Now())
		},
	}
}

func list(out io.Writer, images []docker.ImageInfo, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tID\tSIZE\tAGE")
	for _, i := range images {
		for _, tag := range i.Tags {
			id := strings.TrimPrefix(i.ID, "sha256:")
			age := "-" // images that are built reproducibly have no date
			if i.Created.Year() > 1980 {
				age = duration.HumanDuration(now.Sub(i.Created))
			}
			fmt.Fprintf(w, "%s\t%s\t%.1f MB\t%s\n", tag, id[:min(12, len(id))], float64(i.Size)/1e6, age)
		}
	}
	return w.Flush()
}

func newLoadCmd(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "load IMAGE|FILE.tar...",
		Short: "Explain that nothing needs loading; load archives",
		Long: `Pods run the images of your Docker Engine, so an image that was built or pulled there needs no loading: this says
whether it is there. An archive that docker save wrote is loaded into the engine; - reads one from standard input.`,
		Example: `  skiff image load app:dev
  docker save app:dev | ssh laptop skiff image load -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := env.Interruptible(c.Context())
			defer stop()
			engine, err := e.Engine(ctx)
			if err != nil {
				return err
			}
			defer engine.Close()
			for _, arg := range args {
				if err := load(ctx, e, engine, arg); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func load(ctx context.Context, e *env.Env, engine *docker.Engine, arg string) error {
	if arg != "-" && !isFile(arg) {
		if _, err := engine.InspectImage(ctx, arg); err != nil {
			if errors.Is(err, docker.ErrNotFound) {
				return exit.With(exit.General, fmt.Errorf("the engine has no image %s", arg), "docker build -t "+arg+" . makes it; nothing needs loading after that")
			}
			return err
		}
		fmt.Fprintf(e.IO.Out, "%s is in the engine already: pods can run it, nothing needs loading\n", arg)
		return nil
	}
	archive := e.IO.In
	if arg != "-" {
		f, err := os.Open(arg)
		if err != nil {
			return fmt.Errorf("load images: %w", err)
		}
		defer f.Close()
		archive = f
	}
	names, err := engine.LoadImages(ctx, archive)
	if err != nil {
		return fmt.Errorf("load images from %s: %w", arg, err)
	}
	for _, n := range names {
		fmt.Fprintf(e.IO.Out, "loaded %s\n", n)
	}
	return nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func newBuildCmd(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "build [DOCKER BUILD ARGUMENTS]",
		Short: "Run docker build on the cluster's engine",
		Long: `Run docker build with the same arguments, on the engine of the cluster. Pods that use a tag which a build moved are
replaced when they belong to a set under skiff up.`,
		Example:            "  skiff image build -t app:dev .",
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
				return c.Help()
			}
			engine, err := e.Engine(c.Context())
			if err != nil {
				return err
			}
			host := engine.Host()
			_ = engine.Close()
			build := exec.CommandContext(c.Context(), "docker", append([]string{"build"}, args...)...)
			build.Env = append(os.Environ(), "DOCKER_HOST="+host)
			build.Stdin, build.Stdout, build.Stderr = e.IO.In, e.IO.Out, e.IO.ErrOut
			err = build.Run()
			var failed *exec.ExitError
			switch {
			case errors.As(err, &failed):
				return exit.Silent(exit.Code(failed.ExitCode()))
			case errors.Is(err, exec.ErrNotFound):
				return exit.With(exit.General, fmt.Errorf("build an image: there is no docker command here"), "install the Docker CLI")
			}
			return err
		},
	}
}

func newRemoveCmd(e *env.Env) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "rm IMAGE...", Aliases: []string{"remove"}, Short: "Remove images from the engine", Args: cobra.MinimumNArgs(1),
		Example: "  skiff image rm app:dev",
		RunE: func(c *cobra.Command, args []string) error {
			engine, err := e.Engine(c.Context())
			if err != nil {
				return err
			}
			defer engine.Close()
			for _, ref := range args {
				err := engine.RemoveImage(c.Context(), ref, docker.RemoveImageOptions{Force: force, PruneChildren: true})
				switch {
				case errors.Is(err, docker.ErrNotFound):
					return exit.With(exit.General, fmt.Errorf("the engine has no image %s", ref), "`"+e.Command("image ls")+"` lists those it has")
				case errors.Is(err, docker.ErrConflict) && !force:
					return exit.With(exit.General, err, "delete what uses it first, or add --force to take away the name alone")
				case err != nil:
					return err
				}
				fmt.Fprintf(e.IO.Out, "removed %s\n", ref)
			}
			return nil
		},
		ValidArgsFunction: completeImages(e),
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "Also when it has several names")
	return c
}

func completeImages(e *env.Env) cobra.CompletionFunc {
	return func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(c.Context(), 2*time.Second)
		defer cancel()
		engine, err := e.Engine(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer engine.Close()
		images, err := engine.ListImages(ctx, nil)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, i := range images {
			names = append(names, i.Tags...)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
