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
	// make constructs the controller and subscribes it to informers, which are not started yet. A nil runFunc means
	// that the configuration leaves the controller out.
	make func(ctx context.Context, env *environment) (runFunc, error)
}

// table lists the controllers in the order in which they are made and started: what the first pods wait for comes
// first.
func table() []entry {
	return []entry{
		{"scheduler", newScheduler},
		{"serviceaccount-controller", newServiceAccounts},
		{"root-ca-certificate-publisher-controller", newRootCAPublisher},
		{"deployment-controller", newDeployments},
		{"replicaset-controller", newReplicaSets},
		{"replicationcontroller-controller", newReplicationControllers},
		{"statefulset-controller", newStatefulSets},
		{"daemonset-controller", newDaemonSets},
		{"job-controller", newJobs},
		{"cronjob-controller", newCronJobs},
		{"endpointslice-controller", newEndpointSlices},
		{"endpoints-controller", newEndpoints},
		{"endpointslice-mirroring-controller", newEndpointSliceMirroring},
		{"persistentvolume-binder-controller", newVolumeBinder},
		{"volume-provisioner", newProvisioner},
		{"ephemeral-volume-controller", newEphemeralVolumes},
		{"namespace-controller", newNamespaces},
		{"garbage-collector-controller", newGarbageCollector},
		{"resourcequota-controller", newQuotas},
		{"disruption-controller", newDisruption},
		{"horizontal-pod-autoscaler-controller", newAutoscaler},
		{"ttl-after-finished-controller", newTTLAfterFinished},
		{"node-lifecycle-controller", newNodeTaints},
		{"taint-eviction-controller", newTaintEviction},
		{"pod-garbage-collector-controller", newPodGC},
		{"persistentvolumeclaim-protection-controller", newClaimProtection},
		{"persistentvolume-protection-controller", newVolumeProtection},
		{"volumeattributesclass-protection-controller", newAttributesClassProtection},
		{"service-cidr-controller", newServiceCIDRs},
		{"clusterrole-aggregation-controller", newClusterRoleAggregation},
		{"serviceaccount-token-controller", newTokens},
		{"legacy-serviceaccount-token-cleaner-controller", newLegacyTokenCleaner},
		{"certificatesigningrequest-signing-controller", newCSRSigning},
		{"certificatesigningrequest-approving-controller", newCSRApproving},
		{"certificatesigningrequest-cleaner-controller", newCSRCleaner},
		{"validatingadmissionpolicy-status-controller", newAdmissionPolicyStatus},
		{"resourceclaim-controller", newResourceClaims},
	}
}

type loop struct {
	name string
	run  runFunc
}

func construct(ctx context.Context, env *environment) ([]loop, error) {
	var loops []loop
	var errs []error
	for _, e := range table() {
		run, err := e.make(ctx, env)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("make %s: %w", e.name, err))
		case run != nil:
			loops = append(loops, loop{e.name, run})
		}
	}
	return loops, errors.Join(errs...)
}

// withWorkers adapts the usual Run(ctx, workers) of a controller.
func withWorkers(run func(context.Context, int), workers int) runFunc {
	return func(ctx context.Context) { run(ctx, workers) }
}
