// Package relayproto is what the daemon and the relay container say to each other, and how: the state that the relay
// serves, the kinds of streams in their session, and the framing. It exists apart from both ends because the relay is a
// few megabytes that every pod's node image carries: nothing here may import Kubernetes or the engine's client.
package relayproto
