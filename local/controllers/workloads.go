package controllers

import (
	"context"
	"time"

	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/kubernetes/pkg/controller/cronjob"
	"k8s.io/kubernetes/pkg/controller/daemon"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/job"
	"k8s.io/kubernetes/pkg/controller/replicaset"
	"k8s.io/kubernetes/pkg/controller/replication"
	"k8s.io/kubernetes/pkg/controller/statefulset"
	"k8s.io/kubernetes/pkg/controller/ttlafterfinished"
)

// workloadWorkers is how many objects of one workload kind are reconciled at a time. The API is in the same process,
// so that a reconciliation is bound by the CPU and not by waiting. Upstream: 5.
const workloadWorkers = 3

func newDeployments(ctx context.Context, env *environment) (runFunc, error) {
	apps, core := env.Informers.Apps().V1(), env.Informers.Core().V1()
	c, err := deployment.NewDeploymentController(ctx, apps.Deployments(), apps.ReplicaSets(), core.Pods(), env.client)
	if err != nil {
		return nil, err
	}
	return withWorkers(c.Run, workloadWorkers), nil
}

func newReplicaSets(ctx context.Context, env *environment) (runFunc, error) {
	c := replicaset.NewReplicaSetController(ctx, env.Informers.Apps().V1().ReplicaSets(), env.Informers.Core().V1().Pods(), env.client, replicaset.BurstReplicas)
	return withWorkers(c.Run, workloadWorkers), nil
}

func newReplicationControllers(ctx context.Context, env *environment) (runFunc, error) {
	core := env.Informers.Core().V1()
	c := replication.NewReplicationManager(ctx, core.Pods(), core.ReplicationControllers(), env.client, replication.BurstReplicas)
	return withWorkers(c.Run, workloadWorkers), nil
}

func newStatefulSets(ctx context.Context, env *environment) (runFunc, error) {
	apps, core := env.Informers.Apps().V1(), env.Informers.Core().V1()
	c := statefulset.NewStatefulSetController(ctx, core.Pods(), apps.StatefulSets(), core.PersistentVolumeClaims(), apps.ControllerRevisions(), env.client)
	return withWorkers(c.Run, workloadWorkers), nil
}

func newDaemonSets(ctx context.Context, env *environment) (runFunc, error) {
	apps, core := env.Informers.Apps().V1(), env.Informers.Core().V1()
	c, err := daemon.NewDaemonSetsController(ctx, apps.DaemonSets(), apps.ControllerRevisions(), core.Pods(), core.Nodes(), env.client,
		flowcontrol.NewBackOff(time.Second, 15*time.Minute)) // upstream's, for pods that fail again and again
	if err != nil {
		return nil, err
	}
	return withWorkers(c.Run, workloadWorkers), nil
}

func newJobs(ctx context.Context, env *environment) (runFunc, error) {
	// The two nil informers belong to a feature that is off by default (WorkloadWithJob).
	c, err := job.NewController(ctx, env.client, env.Informers.Core().V1().Pods(), env.Informers.Batch().V1().Jobs(), nil, nil)
	if err != nil {
		return nil, err
	}
	return withWorkers(c.Run, workloadWorkers), nil
}

func newCronJobs(ctx context.Context, env *environment) (runFunc, error) {
	batch := env.Informers.Batch().V1()
	c, err := cronjob.NewControllerV2(ctx, batch.Jobs(), batch.CronJobs(), env.client)
	if err != nil {
		return nil, err
	}
	return withWorkers(c.Run, workloadWorkers), nil
}

func newTTLAfterFinished(ctx context.Context, env *environment) (runFunc, error) {
	return withWorkers(ttlafterfinished.New(ctx, env.Informers.Batch().V1().Jobs(), env.client).Run, 1), nil
}
