// Package policy works out what NetworkPolicies mean for each pod: which directions it is isolated in, and which addresses
// and ports it may talk to nevertheless. It is pure; enforcing is done elsewhere.
package policy
