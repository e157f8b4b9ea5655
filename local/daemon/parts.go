package daemon

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"

	"skiff.local/skiff/local/apiserver"
	"skiff.local/skiff/local/apiserver/pki"
	"skiff.local/skiff/local/controllers"
	"skiff.local/skiff/local/controllers/nodes"
	"skiff.local/skiff/local/network"
	"skiff.local/skiff/runtime/docker"
)

func (d *daemon) newNetwork(subnet netip.Prefix) (*network.Network, error) {
	config := network.Config{
		Engine: d.engine, Profile: d.profile.Name, Home: d.profile.Dir, AuthorityDir: filepath.Dir(d.profile.Dir), Subnet: subnet, ClusterDomain: clusterDomain, Logger: d.log,
		Nodes: d.settings.Nodes, ForceRelay: os.Getenv(network.EnvDial) == "relay",
	}
	if d.bind() != "" {
		address, err := netip.ParseAddr(d.bind())
		if err != nil {
			return nil, invalidBind(d.bind())
		}
		config.Bind = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback(), address}
		if address.IsUnspecified() {
			config.Bind = []netip.Addr{address}
		}
	}
	return network.New(config)
}

// bind is the address that node ports listen on besides loopback, already while the settings are being decided.
func (d *daemon) bind() string { return cmp.Or(d.opts.Start.Bind, d.settings.Bind) }

// startNetwork keeps the relay alive and told, and localhost's listeners open.
func (d *daemon) startNetwork(ctx context.Context, undo *stack) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	d.supervise(ctx, "the network", func(ctx context.Context) error {
		defer close(ended)
		return d.network.Run(ctx, network.Cluster{
			Client: d.client, Informers: d.api.Informers(), CRDs: d.api.CRDs(), REST: d.api.LoopbackConfig(),
		})
	})
	leave := func() { cancel(); <-ended }
	d.leaveNetwork.Store(&leave)
	undo.push(func() error { leave(); return nil })
}

// startControllers registers the nodes and runs Kubernetes' controllers and scheduler.
func (d *daemon) startControllers(ctx context.Context, bundle *pki.Bundle, undo *stack) error {
	info, err := d.engine.Info(ctx)
	if err != nil {
		return err
	}
	d.nodes, err = nodes.New(nodes.Config{
		Client: d.client, Profile: d.profile.Name, Engine: nodeEngine(info),
		Nodes: nodes.Numbered(d.profile.Name, d.settings.Nodes), IP: network.RelayAddr(d.settings.Subnet),
		KubernetesVersion: apiserver.KubernetesVersion(),
	})
	if err != nil {
		return err
	}
	if err := d.nodes.Register(ctx); err != nil {
		return err
	}
	controllerCtx, cancel := context.WithCancel(ctx)
	running, err := controllers.Start(controllerCtx, controllers.Config{
		RESTConfig: d.api.LoopbackConfig(), Informers: d.api.Informers(), RootCA: bundle.CA.Cert,
		CACertFile: bundle.CA.CertFile, CAKeyFile: bundle.CA.KeyFile, ServiceAccountKey: bundle.ServiceAccountKey,
		Volumes: volumes{d.engine}, Profile: d.profile.Name, Logger: d.log,
	})
	if err != nil {
		cancel()
		return err
	}
	undo.push(func() error { cancel(); running.Wait(); return nil })
	return nil
}

func nodeEngine(info *docker.EngineInfo) nodes.Engine {
	return nodes.Engine{
		ID: info.ID, Version: info.ServerVersion, OS: info.OSType, OSImage: info.OperatingSystem,
		Architecture: info.Architecture, Kernel: info.KernelVersion, CPUs: info.CPUs, Memory: info.Memory,
	}
}

// volumes are the engine's, for the StorageClass "standard".
type volumes struct{ engine *docker.Engine }

func (v volumes) CreateVolume(ctx context.Context, name string, labels map[string]string) error {
	_, err := v.engine.CreateVolume(ctx, docker.VolumeSpec{Name: name, Labels: labels})
	return err
}

func (v volumes) RemoveVolume(ctx context.Context, name string) error {
	err := v.engine.RemoveVolume(ctx, name, false)
	if errors.Is(err, docker.ErrNotFound) {
		return nil
	}
	return err
}
