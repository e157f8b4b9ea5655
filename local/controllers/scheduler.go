package controllers

import (
	"context"
	"fmt"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/profile"
)

// schedulerParallelism is how many goroutines filter and score nodes. With a handful of nodes there is nothing to
// share out. Upstream: 16.
const schedulerParallelism = 2

// newScheduler makes Kubernetes' scheduler with its default profile and plugins.
func newScheduler(ctx context.Context, env *environment) (runFunc, error) {
	rc := rest.CopyConfig(env.RESTConfig)
	rc.UserAgent = schedulerAgent
	client, err := kubernetes.NewForConfig(rc)
	if err != nil {
		return nil, fmt.Errorf("make the scheduler's client: %w", err)
	}
	broadcaster := events.NewEventBroadcasterAdapterWithContext(ctx, client)
	recorders := profile.RecorderFactory(func(name string) events.EventRecorderLogger { return broadcaster.NewRecorder(name) })
	s, err := scheduler.New(ctx, client, env.Informers, nil, recorders, scheduler.WithParallelism(schedulerParallelism), scheduler.WithKubeConfig(rc))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) {
		broadcaster.StartRecordingToSink(ctx.Done())
		defer broadcaster.Shutdown()
		env.Informers.WaitForCacheSync(ctx.Done())
		if err := s.WaitForHandlersSync(ctx); err != nil {
			if ctx.Err() == nil {
				klog.FromContext(ctx).Error(err, "The scheduler did not see the whole cluster and does not run")
			}
			return
		}
		s.Run(ctx)
	}, nil
}
