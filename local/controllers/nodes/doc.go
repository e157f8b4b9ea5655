// Package nodes keeps the Node objects that describe the engine, because in skiff nobody else does: there is no
// kubelet that registers itself and sends heartbeats. One engine can be shown as several nodes, so that DaemonSets,
// anti-affinity, cordon and drain can be tried; all of them run their pods on the same engine.
//
// Nodes change when something happens, never by the clock: at registration, when the engine goes away or comes back,
// and when a user changes them.
package nodes
