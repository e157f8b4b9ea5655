// Package apiserver serves the Kubernetes API of one local cluster, with Kubernetes' own registries,
// admission plugins, authentication and authorization, on a store in the same process. It exists so that
// a manifest is accepted, defaulted, refused and printed here exactly as it is in production, while being
// ready in a fraction of the time: the parts are put together by hand, and whatever is not needed for the
// first write starts after it.
//
// Three servers are chained as in kube-apiserver: the aggregator (APIServices) in front, the built-in
// groups behind it, and the server of CustomResourceDefinitions behind those. In-process clients reach
// the front of the chain without a socket (loopback.go).
package apiserver
