// Package dns answers the Kubernetes DNS specification (1.1.0) for the cluster's domain out of the relay's state and
// forwards every other name to the engine's resolver when it is asked for, so that whatever resolves on the developer's
// machine (VPN, split DNS) resolves in pods.
package dns
