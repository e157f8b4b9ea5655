package controllers

import (
	"context"
	"fmt"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/scale"
	"k8s.io/kubernetes/pkg/controller/disruption"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	hpametrics "k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
	"k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"
	"k8s.io/metrics/pkg/client/custom_metrics"
	"k8s.io/metrics/pkg/client/external_metrics"
)

func newScaleClient(env *environment) (scale.ScalesGetter, error) {
	c, err := scale.NewForConfig(env.clientRC, env.mapper, dynamic.LegacyAPIPathResolverFunc, scale.NewDiscoveryScaleKindResolver(env.client.Discovery()))
	if err != nil {
		return nil, fmt.Errorf("make scale client: %w", err)
	}
	return c, nil
}

func newDisruption(ctx context.Context, env *environment) (runFunc, error) {
	scales, err := newScaleClient(env)
	if err != nil {
		return nil, err
	}
	apps, core := env.Informers.Apps().V1(), env.Informers.Core().V1()
	c := disruption.NewDisruptionController(ctx, core.Pods(), env.Informers.Policy().V1().PodDisruptionBudgets(), core.ReplicationControllers(),
		apps.ReplicaSets(), apps.Deployments(), apps.StatefulSets(), env.client, env.mapper, scales, env.client.Discovery())
	return c.Run, nil
}

func newAutoscaler(ctx context.Context, env *environment) (runFunc, error) {
	scales, err := newScaleClient(env)
	if err != nil {
		return nil, err
	}
	usage, err := v1beta1.NewForConfig(env.clientRC)
	if err != nil {
		return nil, fmt.Errorf("make metrics client: %w", err)
	}
	external, err := external_metrics.NewForConfig(env.clientRC)
	if err != nil {
		return nil, fmt.Errorf("make external metrics client: %w", err)
	}
	versions := custom_metrics.NewAvailableAPIsGetter(env.client.Discovery())
	sources := hpametrics.NewRESTMetricsClient(usage, custom_metrics.NewForConfig(env.clientRC, env.mapper, versions), external)

	c := podautoscaler.NewHorizontalController(ctx, env.client.CoreV1(), scales, env.client.AutoscalingV2(), env.mapper, sources,
		env.Informers.Autoscaling().V2().HorizontalPodAutoscalers(), env.Informers.Core().V1().Pods(),
		hpaSyncPeriod, hpaDownscaleStabilization, hpaTolerance, hpaCPUInitializationPeriod, hpaInitialReadinessDelay)
	return func(ctx context.Context) {
		// An adapter for custom metrics may be installed at any time. This only forgets; asking is up to the HPAs.
		go custom_metrics.PeriodicallyInvalidate(versions, hpaSyncPeriod, ctx.Done())
		c.Run(ctx, 1)
	}, nil
}
