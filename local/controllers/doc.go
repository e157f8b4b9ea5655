// Package controllers runs Kubernetes' own controllers and scheduler in this process, against a Kubernetes API that
// may be in the same process, so that what is reconciled in production is reconciled in the same way here.
//
// The controllers are the ones of kube-controller-manager, made by their constructors; table.go lists them. Left out
// are those that have nothing to do on one engine: cloud routes and load balancers, pod CIDRs (node-ipam), the
// attach-detach controller (an engine's volumes need no attaching, and it polls every 100 ms), the in-tree volume
// expander (package provisioner expands its own volumes), kubelet hints (ttl), and kubeadm's bootstrap tokens. What is
// skiff's own is in the packages below: Node objects and their taints (nodes), the StorageClass on engine volumes
// (provisioner), and the API metrics.k8s.io (metrics).
//
// An idle cluster should cost nothing, so whatever Kubernetes does by the clock is done here by events where the
// constructors allow it; periods.go gives each period that is left and why. Controllers that most clusters have no use
// for are made for their first object (lazy.go). skiff's own work queues have no name: a named one has metrics, and
// wakes up twice a second to update them.
package controllers
