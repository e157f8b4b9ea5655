package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"skiff.local/skiff/runtime/docker"
)

// ErrOwned is wrapped by the error for a profile name that a cluster of another folder uses on this engine.
var ErrOwned = errors.New("the engine runs a cluster of this name from another folder")

// Inspector is what looking for a profile's network needs of an engine.
type Inspector interface {
	InspectNetwork(ctx context.Context, name string) (*docker.Network, error)
}

// Existing returns the subnet of the network that a profile has in the engine already: a state folder that was deleted
// by hand leaves one. It is invalid when there is none, and the error wraps ErrOwned when it belongs to another home.
func Existing(ctx context.Context, eng Inspector, profile, home string) (netip.Prefix, error) {
	have, err := eng.InspectNetwork(ctx, docker.NetworkName(profile))
	if errors.Is(err, docker.ErrNotFound) {
		return netip.Prefix{}, nil
	}
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("look for network %s: %w", docker.NetworkName(profile), err)
	}
	if owner := have.Labels[docker.LabelHome]; owner != "" && owner != home {
		return netip.Prefix{}, fmt.Errorf("profile %q: %w (%s)", profile, ErrOwned, owner)
	}
	if len(have.Subnets) != 1 {
		return netip.Prefix{}, nil
	}
	return have.Subnets[0], nil
}

// EnsureNetwork makes the engine's network exist, without a relay on it: from then on the subnet is the cluster's. The
// error is a *SubnetTakenError when another network has it.
func (n *Network) EnsureNetwork(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ensureNetwork(ctx)
}
