// Package image decides and does everything about images: the ones embedded in skiff that are loaded into the engine so
// that nothing need be pulled, and the ones that pods name, with kubelet's pull policies, back-off and messages.
//
// What to do about an image is decided by pure functions (policy.go, backoff.go); Manager carries it out.
package image
