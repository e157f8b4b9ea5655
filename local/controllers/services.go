package controllers

import (
	"context"

	"k8s.io/kubernetes/pkg/controller/endpoint"
	"k8s.io/kubernetes/pkg/controller/endpointslice"
	"k8s.io/kubernetes/pkg/controller/endpointslicemirroring"
	"k8s.io/kubernetes/pkg/controller/servicecidrs"
)

const (
	endpointWorkers = 2
	// Upstream's sizes of EndpointSlices.
	maxEndpointsPerSlice   = 100
	maxEndpointsPerMirror  = 1000
	noBatching             = 0 // endpoints are published as soon as they change
	serviceCIDRWorkers     = 1
	endpointMirrorsWorkers = 1
)

func newEndpointSlices(ctx context.Context, env *environment) (runFunc, error) {
	core := env.Informers.Core().V1()
	c := endpointslice.NewController(ctx, core.Pods(), core.Services(), core.Nodes(), env.Informers.Discovery().V1().EndpointSlices(), maxEndpointsPerSlice, env.client, noBatching)
	return withWorkers(c.Run, endpointWorkers), nil
}

func newEndpoints(ctx context.Context, env *environment) (runFunc, error) {
	core := env.Informers.Core().V1()
	c := endpoint.NewEndpointController(ctx, core.Pods(), core.Services(), core.Endpoints(), env.client, noBatching)
	return withWorkers(c.Run, endpointWorkers), nil
}

func newEndpointSliceMirroring(ctx context.Context, env *environment) (runFunc, error) {
	core := env.Informers.Core().V1()
	c := endpointslicemirroring.NewController(ctx, core.Endpoints(), env.Informers.Discovery().V1().EndpointSlices(), core.Services(), maxEndpointsPerMirror, env.client, noBatching)
	return withWorkers(c.Run, endpointMirrorsWorkers), nil
}

func newServiceCIDRs(ctx context.Context, env *environment) (runFunc, error) {
	networking := env.Informers.Networking().V1()
	return withWorkers(servicecidrs.NewController(ctx, networking.ServiceCIDRs(), networking.IPAddresses(), env.client).Run, serviceCIDRWorkers), nil
}
