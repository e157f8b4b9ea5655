// Package volume turns a pod's volumes into the engine's: which engine volumes exist for the pod, where the pause container
// and the pod's containers see them, and what has to be written into them.
//
// Everything goes through the Docker API: no path on the engine's disk is ever opened from here. Content is written by the
// pause container (see package wire); the engine's name for a place inside one of its volumes is only ever handed back to
// the engine.
package volume
