// Package relay is the process of the relay container: it owns a profile's Service addresses on the pod network,
// forwards them by rules in its own network namespace, answers DNS, and carries connections between the daemon, the
// pods and the developer's machine over one multiplexed session.
//
// The daemon may come and go: rules and DNS answers stay as they were, and a daemon that comes back sends everything
// again, of which only what differs is applied.
package relay
