package client

import (
	"fmt"
	"net/netip"
	"strconv"

	"skiff.local/skiff/local/profile"
)

// MaxNodes is how many nodes one engine is shown as at most. Chosen: each costs the scheduler and the node a little.
const MaxNodes = 50

// StartOptions are what a start may decide. Zero values keep what the cluster has, or the defaults at its first start.
type StartOptions struct {
	// WaitDNS makes the start wait until the cluster's DNS answers, not only its API.
	WaitDNS bool
	// Probe makes sure that a daemon that seems to run answers: one that was just killed still holds its lock.
	Probe bool
	// APIPort fixes the API's TCP port; 0 keeps it, or picks a free one.
	APIPort int
	// Subnet fixes the /16 of pods and Services ("10.99.0.0/16").
	Subnet string
	// Nodes is how many Node objects to show.
	Nodes int
	// Bind is an address that NodePorts listen on besides loopback.
	Bind string
	// Restore puts the last good copy of the store in the place of a damaged one first.
	Restore bool
	// Version is the caller's; the daemon's program refuses to run for a skiff of another release.
	Version string
	// Verbosity is passed on to the daemon's log.
	Verbosity int
}

// Validate fails with ReasonInvalid for values that no cluster can have.
func (o StartOptions) Validate() error {
	invalid := func(hint, format string, args ...any) error {
		return &Failure{Reason: ReasonInvalid, Message: fmt.Sprintf(format, args...), Hint: hint}
	}
	if o.APIPort < 0 || o.APIPort > 65535 {
		return invalid("use one from 1024 to 65535", "--api-port %d is no TCP port", o.APIPort)
	}
	if o.Nodes < 0 || o.Nodes > MaxNodes {
		return invalid(fmt.Sprintf("use 1 to %d", MaxNodes), "--nodes %d is no number of nodes", o.Nodes)
	}
	if o.Bind != "" {
		if _, err := netip.ParseAddr(o.Bind); err != nil {
			return invalid("use one of this machine's addresses, or 0.0.0.0 for all", "--bind %q is no IP address", o.Bind)
		}
	}
	if o.Subnet != "" {
		subnet, err := netip.ParsePrefix(o.Subnet)
		if err != nil || !subnet.Addr().Is4() || subnet.Bits() != 16 || subnet != subnet.Masked() || !subnet.Addr().IsPrivate() {
			return invalid("write it like 10.99.0.0/16", "--subnet %q is no private IPv4 network of 16 bits", o.Subnet)
		}
	}
	return nil
}

// Differing names the flags that ask for something else than a running cluster has.
func (o StartOptions) Differing(s profile.Settings) []string {
	var flags []string
	add := func(differs bool, flag, value string) {
		if differs {
			flags = append(flags, flag+" "+value)
		}
	}
	add(o.APIPort != 0 && o.APIPort != s.APIPort, "--api-port", strconv.Itoa(o.APIPort))
	add(o.Subnet != "" && o.Subnet != s.Subnet.String(), "--subnet", o.Subnet)
	add(o.Nodes != 0 && o.Nodes != s.Nodes, "--nodes", strconv.Itoa(o.Nodes))
	add(o.Bind != "" && o.Bind != s.Bind, "--bind", o.Bind)
	return flags
}

// Args are the arguments of the daemon's program.
func (o StartOptions) Args(p *profile.Profile) []string {
	var args []string
	if o.Version != "" {
		args = append(args, "--"+VersionFlag, o.Version) // first: it is looked at before the rest
	}
	args = append(args, "--profile", p.Name)
	if o.APIPort != 0 {
		args = append(args, "--api-port", strconv.Itoa(o.APIPort))
	}
	if o.Subnet != "" {
		args = append(args, "--subnet", o.Subnet)
	}
	if o.Nodes != 0 {
		args = append(args, "--nodes", strconv.Itoa(o.Nodes))
	}
	if o.Bind != "" {
		args = append(args, "--bind", o.Bind)
	}
	if o.Restore {
		args = append(args, "--restore")
	}
	if o.Verbosity != 0 {
		args = append(args, "--verbosity", strconv.Itoa(o.Verbosity))
	}
	return args
}
