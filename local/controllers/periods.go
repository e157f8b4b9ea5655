package controllers

import "time"

// The periods of what Kubernetes' controllers do by the clock. Upstream's default is given where ours differs.
const (
	// pvSyncPeriod is how often the volume binder walks all claims and volumes (upstream's). It acts on events
	// (rematch.go adds the one it lacks), and it does not run before there is a claim or a volume.
	pvSyncPeriod = 15 * time.Second

	// hpaSyncPeriod is a period per HorizontalPodAutoscaler: without one nothing runs. It is upstream's, because
	// users wait for it.
	hpaSyncPeriod              = 15 * time.Second
	hpaDownscaleStabilization  = 5 * time.Minute
	hpaTolerance               = 0.1
	hpaCPUInitializationPeriod = 5 * time.Minute
	hpaInitialReadinessDelay   = 30 * time.Second

	// discoverySyncPeriod is how often the garbage collector and the quota controller compare the resources they
	// watch with discovery. They do so at once when a CustomResourceDefinition or APIService changes (discovery.go);
	// the period only retries what failed, from a cache. Upstream: 30 s, with two requests each.
	discoverySyncPeriod = 5 * time.Minute
	// initialSyncTimeout is how long the garbage collector waits for its first view of the cluster (upstream's).
	initialSyncTimeout = 30 * time.Second

	// quotaResync is how often all quotas are counted anew (upstream's); recount.go does so where it is needed.
	quotaResync = 5 * time.Minute
	// replenishmentResync is the resync of the informers that tell quotas about deletions (upstream's minimum).
	replenishmentResync = 12 * time.Hour

	// certificateTTL is how long a certificate lives that asks for no particular time (upstream's).
	certificateTTL = 365 * 24 * time.Hour
	// legacyTokenAge is after which time an unused token Secret of a ServiceAccount goes (upstream's).
	legacyTokenAge = 365 * 24 * time.Hour
)
