// Package policy enforces NetworkPolicies with nftables, at the two places where a pod's connections can be judged: in the
// pod's own network namespace, where the addresses of other pods are visible, and in the relay, which alone knows which
// pod is behind a connection through a Service.
package policy
