// Package rules forwards Services in the relay's own network namespace with nftables: one map from (address, protocol,
// port) to a chain, and one chain per Service port that picks an endpoint. A lookup costs the same with one Service or
// five hundred, and an update touches only what changed, in one transaction.
//
// Ports without endpoints have no entry at all: Service addresses are local addresses of the relay, so that the kernel
// itself refuses connections to them at once.
package rules
