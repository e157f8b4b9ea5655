//go:build !linux

package network

import "net/netip"

// hostRoutes lists the networks of this host's interfaces: the engine runs in a virtual machine here, so that only the
// daemon's own connections could be misled, and VPNs show up as interfaces.
func hostRoutes() ([]netip.Prefix, error) { return interfacePrefixes(), nil }
