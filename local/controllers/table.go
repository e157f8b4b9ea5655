package controllers

import (
	"context"
	"errors"
	"fmt"
)

// runFunc runs until its context ends.
type runFunc func(ctx context.Context)

// entry is one controller. Its name is kube-controller-manager's where there is one.
type entry struct {
	name string
	// make constructs the controller and subscribes it to informers. A nil runFunc means that the configuration
	// leaves the controller out.
	make func(ctx context.Context, env *environment) (runFunc, error)
	// first is what the controller waits for before it is made at all; without any it is made at the start.
	first []watched
}

// table lists the controllers in the order in which they are made and started: what the first pods wait for comes
// first. Then come those that are made for the first object they have to do with.
func table() []entry {
	return []entry{
		{name: "scheduler", make: newScheduler},
		{name: "serviceaccount-controller", make: newServiceAccounts},
		{name: "root-ca-certificate-publisher-controller", make: newRootCAPublisher},
		{name: "deployment-controller", make: newDeployments},
		{name: "replicaset-controller", make: newReplicaSets},
		{name: "namespace-controller", make: newNamespaces},
		{name: "garbage-collector-controller", make: newGarbageCollector},
		{name: "node-lifecycle-controller", make: newNodeTaints},
		{name: "pod-garbage-collector-controller", make: newPodGC},
		{name: "service-cidr-controller", make: newServiceCIDRs},
		{name: "clusterrole-aggregation-controller", make: newClusterRoleAggregation},
		{name: "volume-provisioner", make: newProvisioner},

		{name: "endpointslice-controller", make: newEndpointSlices, first: []watched{that(services, selectsPods)}},
		{name: "endpoints-controller", make: newEndpoints, first: []watched{that(services, selectsPods)}},
		{name: "job-controller", make: newJobs, first: []watched{anyOf(jobs), that(pods, trackedByJob)}},
		{name: "cronjob-controller", make: newCronJobs, first: []watched{anyOf(cronJobs)}},
		{name: "ttl-after-finished-controller", make: newTTLAfterFinished, first: []watched{that(jobs, expires)}},
		{name: "statefulset-controller", make: newStatefulSets, first: []watched{anyOf(statefulSets)}},
		{name: "daemonset-controller", make: newDaemonSets, first: []watched{anyOf(daemonSets)}},
		{name: "replicationcontroller-controller", make: newReplicationControllers, first: []watched{anyOf(controllersV1)}},
		{name: "persistentvolume-binder-controller", make: newVolumeBinder, first: []watched{anyOf(claims), anyOf(volumes)}},
		{name: "persistentvolumeclaim-protection-controller", make: newClaimProtection, first: []watched{anyOf(claims)}},
		{name: "persistentvolume-protection-controller", make: newVolumeProtection, first: []watched{anyOf(volumes)}},
		{name: "volumeattributesclass-protection-controller", make: newAttributesClassProtection, first: []watched{anyOf(attributesClasses)}},
		{name: "ephemeral-volume-controller", make: newEphemeralVolumes, first: []watched{that(pods, hasEphemeralVolume)}},
		{name: "resourcequota-controller", make: newQuotas, first: []watched{anyOf(quotas)}},
		{name: "disruption-controller", make: newDisruption, first: []watched{anyOf(budgets), that(pods, disrupted)}},
		{name: "horizontal-pod-autoscaler-controller", make: newAutoscaler, first: []watched{anyOf(autoscalers)}},
		{name: "taint-eviction-controller", make: newTaintEviction, first: []watched{that(nodeObjects, evicts)}},
		{name: "endpointslice-mirroring-controller", make: newEndpointSliceMirroring, first: []watched{that(endpointObjs, madeByHand)}},
		{name: "serviceaccount-token-controller", make: newTokens, first: []watched{that(secrets, isToken)}},
		{name: "legacy-serviceaccount-token-cleaner-controller", make: newLegacyTokenCleaner, first: []watched{that(secrets, isToken)}},
		{name: "certificatesigningrequest-signing-controller", make: newCSRSigning, first: []watched{anyOf(certificateRequests)}},
		{name: "certificatesigningrequest-approving-controller", make: newCSRApproving, first: []watched{anyOf(certificateRequests)}},
		{name: "certificatesigningrequest-cleaner-controller", make: newCSRCleaner, first: []watched{anyOf(certificateRequests)}},
		{name: "validatingadmissionpolicy-status-controller", make: newAdmissionPolicyStatus, first: []watched{anyOf(admissionPolicies)}},
		{name: "resourceclaim-controller", make: newResourceClaims, first: []watched{anyOf(resourceClaims), that(pods, claimsResources)}},
	}
}

type loop struct {
	name string
	run  runFunc
}

func construct(ctx context.Context, env *environment) ([]loop, error) {
	g := newGate(ctx.Done())
	gated := env.behind(g)
	var loops []loop
	var errs []error
	for _, e := range table() {
		run, err := e.construct(ctx, gated)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("make %s: %w", e.name, err))
		case run != nil:
			loops = append(loops, loop{e.name, run})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	g.open()
	return loops, nil
}

func (e entry) construct(ctx context.Context, env *environment) (runFunc, error) {
	if len(e.first) > 0 {
		return e.lazily(env)
	}
	return e.make(ctx, env)
}

// withWorkers adapts the usual Run(ctx, workers) of a controller.
func withWorkers(run func(context.Context, int), workers int) runFunc {
	return func(ctx context.Context) { run(ctx, workers) }
}
