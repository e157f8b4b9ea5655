// Package provisioner backs the StorageClass "standard" with volumes of the Docker Engine. Kubernetes' own volume
// binder chooses and binds; it leaves making and deleting volumes to external provisioners, and this is one, with the
// manners of a CSI driver's: it waits for the first consumer, honours the reclaim policy, and reports in events.
//
// A volume of the engine is a directory on the engine's disk. It has no size of its own, so a request for storage is
// neither reserved nor enforced, and expanding a claim is only a matter of saying so. All nodes are the same engine:
// every access mode works on every node.
package provisioner
