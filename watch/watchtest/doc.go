// Package watchtest runs watched sets against the real control plane, in one process and without an engine: the API
// server, the store and the controllers are skiff's own, and the kubelet is a few lines that say what pods do. It is one
// package because linking a control plane into a test binary is what costs the time.
package watchtest
