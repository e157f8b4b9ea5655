package network

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"skiff.local/skiff/runtime/docker"
)

// EnsureRelay makes the cluster's network exist and its relay container run, whatever is there already, and opens the
// session with it. image is the helper image. The relay is on its way to answering when it returns; see WaitDNS.
func (n *Network) EnsureRelay(ctx context.Context, image string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.image = image
	return n.ensureLocked(ctx)
}

func (n *Network) ensureLocked(ctx context.Context) error {
	id, err := n.ensureContainer(ctx)
	if err != nil {
		return err
	}
	return n.connect(ctx, id)
}

// ensureContainer makes the relay container run and returns its id. A stopped relay of the same making is started, which
// is what most starts of a cluster do; anything else is replaced.
func (n *Network) ensureContainer(ctx context.Context) (string, error) {
	name := docker.RelayName(n.cfg.Profile)
	spec := n.relaySpec()
	have, err := n.cfg.Engine.InspectContainer(ctx, name)
	switch {
	case errors.Is(err, docker.ErrNotFound):
		return n.createRelay(ctx, spec)
	case err != nil:
		return "", fmt.Errorf("look for the relay: %w", err)
	case have.Labels[docker.LabelSpecHash] != spec.Labels[docker.LabelSpecHash]:
		if err := n.removeContainer(ctx, have.ID); err != nil {
			return "", err
		}
		return n.createRelay(ctx, spec)
	case have.State.Running && !have.State.Paused:
		return have.ID, nil
	}
	if err := n.cfg.Engine.StartContainer(ctx, have.ID); err != nil && !errors.Is(err, docker.ErrNotModified) {
		// Its network may be gone, or be another one by now: make both anew.
		n.log.Warn("the relay does not start again: it is replaced", "err", err)
		if err := n.removeContainer(ctx, have.ID); err != nil {
			return "", err
		}
		return n.createRelay(ctx, spec)
	}
	return have.ID, nil
}

// createRelay makes the network and the relay. The container is made while the network is: it needs it only to start.
func (n *Network) createRelay(ctx context.Context, spec docker.ContainerSpec) (string, error) {
	var network sync.WaitGroup
	var networkErr error
	network.Go(func() { networkErr = n.ensureNetwork(ctx) })
	id, err := n.cfg.Engine.CreateContainer(ctx, spec)
	network.Wait()
	if networkErr != nil {
		if err == nil {
			_ = n.removeContainer(ctx, id)
		}
		return "", networkErr
	}
	if errors.Is(err, docker.ErrNotFound) && !errors.Is(err, docker.ErrNoImage) {
		// An engine that looks the network up at creation.
		id, err = n.cfg.Engine.CreateContainer(ctx, spec)
	}
	if err != nil {
		return "", fmt.Errorf("create the relay: %w", err)
	}
	if err := n.cfg.Engine.StartContainer(ctx, id); err != nil {
		return "", errors.Join(fmt.Errorf("start the relay: %w", err), n.removeContainer(ctx, id))
	}
	return id, nil
}

// ensureNetwork makes the network exist. One of the same name with other addresses is replaced, unless containers are
// on it.
func (n *Network) ensureNetwork(ctx context.Context) error {
	spec := docker.NetworkSpec{
		Name:    n.Name(),
		Subnet:  n.cfg.Subnet,
		IPRange: PodRange(n.cfg.Subnet),
		Gateway: GatewayAddr(n.cfg.Subnet),
		Labels:  docker.ProfileLabels(n.cfg.Profile, docker.RoleNetwork),
	}
	spec.Labels[docker.LabelHome] = n.cfg.Home
	have, err := n.cfg.Engine.InspectNetwork(ctx, spec.Name)
	switch {
	case err == nil && len(have.Subnets) == 1 && have.Subnets[0] == spec.Subnet:
		return nil
	case err == nil:
		if err := n.cfg.Engine.RemoveNetwork(ctx, have.ID); err != nil {
			return fmt.Errorf("replace network %s, whose subnet is %v instead of %s: %w", spec.Name, have.Subnets, spec.Subnet, err)
		}
	case !errors.Is(err, docker.ErrNotFound):
		return fmt.Errorf("look for network %s: %w", spec.Name, err)
	}
	if _, err := n.cfg.Engine.CreateNetwork(ctx, spec); err != nil {
		if taken := takenBy(ctx, n.cfg.Engine, spec.Subnet); taken != nil {
			return taken
		}
		return fmt.Errorf("create network %s with subnet %s: %w", spec.Name, spec.Subnet, err)
	}
	return nil
}

// relaySpec is the container. Its hash decides whether an existing one will do.
func (n *Network) relaySpec() docker.ContainerSpec {
	subnet := n.cfg.Subnet
	spec := docker.ContainerSpec{
		Name:  docker.RelayName(n.cfg.Profile),
		Image: n.image,
		Entrypoint: []string{
			docker.HelperPath, "relay",
			"-ip", RelayAddr(subnet).String(),
			"-cluster", subnet.String(),
			"-services", ServiceRange(subnet).String(),
			"-dns", DNSAddr(subnet).String(),
			"-host", HostAddr(subnet).String(),
			"-domain", n.cfg.ClusterDomain,
			"-api-port", strconv.Itoa(RelayAPIPort),
			"-kubelet-port", strconv.Itoa(RelayKubeletPort),
		},
		Hostname: "relay",
		Network:  n.Name(),
		Endpoint: docker.Endpoint{IPv4: RelayAddr(subnet), MAC: macOf(RelayAddr(subnet))},
		CapDrop:  []string{"ALL"},
		CapAdd:   []string{"NET_ADMIN", "NET_BIND_SERVICE"},
		Security: docker.SecurityOptions{NoNewPrivileges: true},
		Sysctls:  map[string]string{"net.ipv4.ip_forward": "1"},
	}
	sum := fnv.New64a()
	fmt.Fprint(sum, spec.Image, "\n", strings.Join(spec.Entrypoint, "\n"), spec.CapAdd, spec.Sysctls, spec.Endpoint.MAC)
	spec.Labels = docker.ProfileLabels(n.cfg.Profile, docker.RoleRelay)
	spec.Labels[docker.LabelSpecHash] = strconv.FormatUint(sum.Sum64(), 16)
	return spec
}

// macOf is the hardware address that engines before 28 give to whoever has an IPv4 address. Later ones choose another one
// at every start, which pods that know a Service's address by the former one would notice for half a minute.
func macOf(a netip.Addr) string {
	ip := a.As4()
	return net.HardwareAddr{0x02, 0x42, ip[0], ip[1], ip[2], ip[3]}.String()
}

// Stop stops the relay and keeps it and the network, so that the next start is fast. Pods must have been stopped before:
// they would be cut off.
func (n *Network) Stop(ctx context.Context) error {
	n.link.close()
	err := n.cfg.Engine.StopContainer(ctx, docker.RelayName(n.cfg.Profile), docker.StopOptions{Grace: time.Second})
	if err != nil && !errors.Is(err, docker.ErrNotFound) && !errors.Is(err, docker.ErrNotModified) {
		return fmt.Errorf("stop the relay: %w", err)
	}
	return nil
}

// Remove removes the relay and the network, which no container may be on any more.
func (n *Network) Remove(ctx context.Context) error {
	n.link.close()
	return Remove(ctx, n.cfg.Engine, n.cfg.Profile)
}

// Remover is what removing a profile's network needs of an engine.
type Remover interface {
	RemoveNetwork(ctx context.Context, name string) error
	RemoveContainer(ctx context.Context, id string, opts docker.RemoveOptions) error
}

// Remove removes a profile's relay and network, also without a daemon. What is not there is removed already.
func Remove(ctx context.Context, eng Remover, profile string) error {
	err := eng.RemoveContainer(ctx, docker.RelayName(profile), docker.RemoveOptions{Force: true, Volumes: true})
	if err != nil && !errors.Is(err, docker.ErrNotFound) {
		return fmt.Errorf("remove the relay: %w", err)
	}
	if err := eng.RemoveNetwork(ctx, docker.NetworkName(profile)); err != nil && !errors.Is(err, docker.ErrNotFound) {
		return fmt.Errorf("remove the network: %w", err)
	}
	return nil
}

func (n *Network) removeContainer(ctx context.Context, id string) error {
	err := n.cfg.Engine.RemoveContainer(ctx, id, docker.RemoveOptions{Force: true, Volumes: true})
	if err != nil && !errors.Is(err, docker.ErrNotFound) {
		return fmt.Errorf("remove the old relay: %w", err)
	}
	return nil
}

// Disconnect ends the session with the relay, which goes on with what it knows.
func (n *Network) Disconnect() { n.link.close() }
