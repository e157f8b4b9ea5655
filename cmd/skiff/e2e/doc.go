// Package e2e drives the real skiff binary and the stock kubectl against a real Docker Engine, as a user would. It holds
// no code beside its tests. `make e2e` prepares what it needs; it fails, and does not skip, where something is missing.
package e2e
