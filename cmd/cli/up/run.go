package up

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/local/client"
	"skiff.local/skiff/watch"
	"skiff.local/skiff/watch/build"
	"skiff.local/skiff/watch/event"
)

// Run does what the options say.
func Run(ctx context.Context, o *Options) error {
	if o.Stop {
		return stop(ctx, o)
	}
	target, err := o.Target()
	if err != nil {
		return err
	}
	if err := o.MayTouch(target); err != nil {
		return err
	}
	if o.Background && !target.Ours {
		return exit.With(exit.Usage, errors.New("the daemon watches for skiff's own cluster only"), "leave -d out")
	}
	view := newRenderer(o, target)
	builder := o.builder(ctx)
	set, err := watch.NewSet(watch.Config{
		Definition: o.definition(target.Namespace), REST: target.REST, Events: view.event,
		Once: o.Once || o.Background, DryRun: o.DryRun, Confirm: o.confirm(view), Builder: builder,
	})
	if err != nil {
		return exit.With(exit.Usage, err, "")
	}
	if watching := !o.Once && !o.DryRun && !o.Background; watching && target.Ours {
		imagesCtx, stop := context.WithCancel(ctx)
		defer stop()
		go followImages(imagesCtx, o.Env, set)
	}
	err = set.Run(ctx)
	view.close()
	if tidy, ok := builder.(*build.Tidy); ok {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTimeout)
		defer cancel()
		tidy.Collect(ctx)
	}
	switch {
	case errors.Is(err, watch.ErrDeclined):
		return exit.With(exit.Interrupted, err, "")
	case err != nil:
		return err
	}
	status := set.Status()
	switch {
	case o.Background:
		return detach(ctx, o, target, len(status.Wrong))
	case (o.Once || o.DryRun) && len(status.Wrong) > 0:
		return exit.Silent(exit.Manifest)
	}
	return nil
}

// tidyTimeout bounds the removal of images at the end, for which somebody waits. Chosen.
const tidyTimeout = 5 * time.Second

// builder builds on the engine that the cluster runs on.
func (o *Options) builder(ctx context.Context) watch.Builder {
	if !o.Build {
		return nil
	}
	engine, err := o.Env.Engine(ctx)
	if err != nil {
		return nil
	}
	defer engine.Close()
	return &build.Tidy{Docker: build.Docker{Host: engine.Host()}}
}

// MayTouch asks once before a cluster is changed that isn't skiff's.
func (o *Options) MayTouch(target Target) error {
	if target.Ours || o.Yes || o.DryRun {
		return nil
	}
	question := fmt.Sprintf("This changes the cluster %s (%s), which is not skiff's. Go on?", target.Name, target.REST.Host)
	if !o.Env.IO.IsInTTY() {
		return exit.With(exit.Usage, fmt.Errorf("the cluster %s is not skiff's, and there is no terminal to ask on", target.Name), "add --yes if it is meant")
	}
	if !o.Env.IO.Confirm(question) {
		return exit.With(exit.Interrupted, watch.ErrDeclined, "")
	}
	return nil
}

// detach hands the set to the daemon.
func detach(ctx context.Context, o *Options, target Target, wrong int) error {
	cluster, err := o.Env.Connect()
	if err != nil {
		return err
	}
	var definition watch.Definition
	if err := cluster.Call(ctx, http.MethodPost, "sets", o.definition(target.Namespace), &definition); err != nil {
		return err
	}
	if o.Output != "json" {
		names := sourceNames(o)
		fmt.Fprintf(o.Env.IO.Out, "the daemon watches %s; `%s --stop %s` ends that\n", names, o.Env.Command("up"), names)
	}
	if wrong > 0 {
		return exit.Silent(exit.Manifest)
	}
	return nil
}

// stop ends the daemon's watch. Nothing runs, nothing is watched: that is no error either.
func stop(ctx context.Context, o *Options) error {
	cluster, err := o.Env.Connect()
	if err != nil {
		return err
	}
	spec := client.SetSpec{Name: o.Set}
	for _, src := range o.Sources {
		spec.Sources = append(spec.Sources, src.Path)
	}
	var ended []string
	if err := cluster.Call(ctx, http.MethodDelete, "sets", spec, &ended); err != nil {
		return err
	}
	fmt.Fprintf(o.Env.IO.Out, "no longer watched: %s; what was applied stays\n", strings.Join(ended, ", "))
	return nil
}

func sourceNames(o *Options) string {
	var names []string
	for _, src := range o.Sources {
		names = append(names, src.Name)
	}
	return strings.Join(names, " ")
}

// confirm shows differences and asks on a terminal. Nil when nobody wants that.
func (o *Options) confirm(view renderer) func([]watch.Difference) bool {
	if !o.Diff {
		return nil
	}
	return func(differences []watch.Difference) bool {
		view.differences(differences)
		if o.Yes || o.DryRun || !o.Env.IO.IsInTTY() {
			return true
		}
		return o.Env.IO.Confirm(fmt.Sprintf("Apply these %d changes?", len(differences)))
	}
}

// renderer draws what a set says.
type renderer interface {
	event(event.Event)
	differences([]watch.Difference)
	close()
}

func newRenderer(o *Options, target Target) renderer {
	if o.Output == "json" {
		return newJSON(o.Env.IO)
	}
	lines := newLines(o.Env.IO, target)
	if o.Env.IO.CanRedrawOut() && o.Env.IO.IsErrTTY() && !o.Once && !o.DryRun && !o.Background {
		return newLive(lines)
	}
	return lines
}
