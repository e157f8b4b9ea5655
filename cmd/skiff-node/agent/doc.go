// Package agent is the pause process's second job: the file work on its pod's volumes that the node asks for over standard
// input (see runtime/volume/wire). The node has no path on the engine's disk; the pause container has every volume of the
// pod mounted, costs nothing extra, and answers in a millisecond.
package agent
