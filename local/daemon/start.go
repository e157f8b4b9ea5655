package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/rest"

	"skiff.local/skiff/local/apiserver"
	"skiff.local/skiff/local/apiserver/pki"
	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/controllers/metrics"
	"skiff.local/skiff/local/network"
	"skiff.local/skiff/local/profile"
	"skiff.local/skiff/local/store"
	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/image"
)

// start brings the parts up. What does not wait for another part starts at once: the relay comes up while the API
// does, because each takes about as long as the other. ctx bounds the start alone; the parts run until runCtx ends.
func (d *daemon) start(ctx, runCtx context.Context, undo *stack) error {
	if err := d.connectEngine(ctx, undo); err != nil {
		return err
	}
	if err := d.settle(ctx); err != nil {
		return err
	}
	bundle, err := d.openState(undo)
	if err != nil {
		return err
	}
	if d.network, err = d.newNetwork(d.settings.Subnet); err != nil {
		return err
	}
	if err := d.makeAPI(runCtx, bundle, undo); err != nil {
		return err
	}

	relay := make(chan error, 1)
	go func() { relay <- d.startRelay(ctx) }()
	if err := d.startAPI(runCtx, bundle, undo); err != nil {
		return errors.Join(err, <-relay)
	}
	if err := d.startControllers(runCtx, bundle, undo); err != nil {
		return errors.Join(err, <-relay)
	}
	if err := <-relay; err != nil {
		return err
	}
	d.startNetwork(runCtx, undo)
	d.tell.phase(client.PhaseNetwork, "the relay runs on "+d.settings.Subnet.String())
	if err := d.startNode(runCtx, undo); err != nil {
		return err
	}
	if err := d.network.WaitDNS(ctx); err != nil {
		return err
	}
	if err := d.network.WaitListening(ctx); err != nil {
		return err
	}
	if err := d.api.WaitReady(ctx); err != nil {
		return err
	}
	d.tell.phase(client.PhaseDNS, "the cluster's DNS answers")
	close(d.ready)
	d.tell.phase(client.PhaseReady, "")
	d.log.Info("ready", "took", time.Since(d.started))
	// The sets end before the API does, so that none takes its end for trouble.
	undo.push(func() error { d.sets.end(); return nil })
	go d.watchEngine(runCtx)
	if err := d.sets.resume(); err != nil {
		d.log.Error("the watched sets could not be resumed", "error", err)
	}
	return nil
}

func (d *daemon) url() string { return fmt.Sprintf("https://127.0.0.1:%d", d.settings.APIPort) }

// connectEngine reaches the engine that the cluster was made on; before the first start, the one docker would use.
func (d *daemon) connectEngine(ctx context.Context, undo *stack) error {
	settings, existed, err := d.profile.ReadSettings()
	if err != nil {
		return &client.Failure{Reason: client.ReasonHome, Message: err.Error()}
	}
	if host := os.Getenv("DOCKER_HOST"); existed && host != "" && settings.Engine != "" && host != settings.Engine {
		return &client.Failure{
			Reason:  client.ReasonInvalid,
			Message: fmt.Sprintf("the cluster %q was made on the engine at %s, and DOCKER_HOST names %s", d.profile.Name, settings.Engine, host),
			Hint:    "unset DOCKER_HOST, or make another cluster there with -p",
		}
	}
	engine, err := docker.Connect(ctx, docker.Options{Host: settings.Engine})
	if err != nil {
		return err
	}
	d.engine = engine
	undo.push(engine.Close)
	d.tell.phase(client.PhaseEngine, fmt.Sprintf("Docker Engine at %s, API %s", engine.Host(), engine.APIVersion()))
	return nil
}

// settle decides what a cluster keeps from its first start on, and takes the changes that a later start may ask for.
// They are stored only once the API serves on them.
func (d *daemon) settle(ctx context.Context) error {
	settings, existed, err := d.profile.ReadSettings()
	if err != nil {
		return &client.Failure{Reason: client.ReasonHome, Message: err.Error()}
	}
	existing, err := network.Existing(ctx, d.engine, d.profile.Name, d.profile.Dir)
	if errors.Is(err, network.ErrOwned) {
		return &client.Failure{
			Reason: client.ReasonInvalid, Message: err.Error(),
			Hint: "choose another name with -p, or delete that cluster with its own " + profile.EnvHome,
		}
	}
	if err != nil {
		return err
	}
	want := d.opts.Start
	if err := want.Validate(); err != nil {
		return err
	}
	if want.APIPort != 0 {
		settings.APIPort, settings.APIPortFixed = want.APIPort, true
	}
	if want.Nodes != 0 {
		settings.Nodes = want.Nodes
	}
	if want.Bind != "" {
		settings.Bind = want.Bind
	}
	settings.Nodes = max(settings.Nodes, 1)
	switch {
	case want.Subnet != "":
		subnet := netip.MustParsePrefix(want.Subnet) // it was validated
		if existed && settings.Subnet != subnet {
			return &client.Failure{
				Reason:  client.ReasonInvalid,
				Message: fmt.Sprintf("--subnet: the cluster %q has its pods and Services in %s, which can't change", d.profile.Name, settings.Subnet),
				Hint:    "run `skiff delete` first, or make another profile with -p",
			}
		}
		settings.Subnet = subnet
	case !existed && existing.IsValid():
		settings.Subnet = existing
	case !existed:
		if settings.Subnet, err = d.takeSubnet(ctx); err != nil {
			return err
		}
	}
	if !existed {
		settings.Created, settings.Engine = d.started, d.engine.Host()
	}
	d.settings = settings
	return nil
}

// subnetAttempts bounds how often a start chooses a subnet. Chosen: more clusters than that don't start at a time.
const subnetAttempts = 5

// takeSubnet chooses a subnet and makes the network at once, so that a cluster that starts at the same time chooses
// another one.
func (d *daemon) takeSubnet(ctx context.Context) (subnet netip.Prefix, err error) {
	var refused []netip.Prefix
	for range subnetAttempts {
		if subnet, err = network.ChooseSubnet(ctx, d.engine, refused...); err != nil {
			return subnet, err
		}
		var n *network.Network
		if n, err = d.newNetwork(subnet); err != nil {
			return subnet, err
		}
		err = n.EnsureNetwork(ctx)
		// The engine takes addresses before it lists the network that has them: then it can only be seen to refuse.
		taken := errors.As(err, new(*network.SubnetTakenError)) || errors.Is(err, docker.ErrForbidden) || errors.Is(err, docker.ErrConflict)
		if !taken {
			return subnet, err
		}
		refused = append(refused, subnet)
	}
	return subnet, err
}

// openState opens the store and makes the certificates, side by side.
func (d *daemon) openState(undo *stack) (*pki.Bundle, error) {
	var bundle *pki.Bundle
	var group errgroup.Group
	group.Go(func() (err error) {
		services := network.ServiceRange(d.settings.Subnet)
		bundle, err = pki.Ensure(d.profile.PKIDir(), pki.Options{
			IPs: ips(services.Addr().Next(), network.RelayAddr(d.settings.Subnet)), ClusterDomain: clusterDomain,
		})
		return err
	})
	group.Go(func() (err error) {
		if d.opts.Start.Restore {
			if err := d.restoreStore(); err != nil {
				return err
			}
		}
		d.store, err = store.Open(store.Options{
			Path: d.profile.StorePath(), RestoreCommand: restoreCommand(d.profile), Logger: d.log,
		})
		var damaged *store.DamagedError
		if errors.As(err, &damaged) {
			return &client.Failure{Reason: client.ReasonStoreDamaged, Message: err.Error(), Hint: damageHint(damaged, d.profile)}
		}
		return err
	})
	if err := group.Wait(); err != nil {
		if errors.Is(err, os.ErrPermission) {
			return nil, &client.Failure{Reason: client.ReasonHome, Message: err.Error(), Hint: "set " + profile.EnvHome + " to a folder you can write to"}
		}
		return nil, err
	}
	undo.push(d.store.Close)
	stats := d.store.Stats()
	d.tell.phase(client.PhaseStore, fmt.Sprintf("%d objects at revision %d", stats.Objects, stats.Revision))
	return bundle, nil
}

// restoreStore puts back the last good copy, of which the damaged file is kept beside it.
func (d *daemon) restoreStore() error {
	restored, err := store.Restore(d.profile.StorePath())
	if errors.Is(err, store.ErrNoCopy) {
		return &client.Failure{
			Reason:  client.ReasonStoreDamaged,
			Message: fmt.Sprintf("--restore: there is no good copy of the store of %q", d.profile.Name),
			Hint:    "a copy is made at every clean stop; run `skiff delete` to start afresh",
		}
	}
	if err != nil {
		return fmt.Errorf("restore the store: %w", err)
	}
	d.log.Info("restored the store", "from", restored.Path, "of", restored.Time)
	return nil
}

// restoreCommand is what puts back the last good copy of a damaged store.
func restoreCommand(p *profile.Profile) string {
	if p.Name == profile.DefaultName {
		return "skiff start --restore"
	}
	return "skiff start --restore -p " + p.Name
}

func damageHint(e *store.DamagedError, p *profile.Profile) string {
	if e.Copy != nil {
		return "run `" + restoreCommand(p) + "` to put back its last good copy"
	}
	return strings.TrimSuffix("run `skiff delete` to start afresh"+profileFlag(p), " ")
}

func profileFlag(p *profile.Profile) string {
	if p.Name == profile.DefaultName {
		return ""
	}
	return " (with -p " + p.Name + ")"
}

// makeAPI builds the API server and its listener; nothing is served yet.
func (d *daemon) makeAPI(ctx context.Context, bundle *pki.Bundle, undo *stack) error {
	listener, err := listenAPI(d.settings.APIPort, d.settings.APIPortFixed, portsOfOthers(d.profile))
	if err != nil {
		return err
	}
	undo.push(func() error { _ = listener.Close(); return nil })
	d.settings.APIPort = listener.Addr().(*net.TCPAddr).Port
	d.network.SetAPIPort(d.settings.APIPort)

	d.api, err = apiserver.New(ctx, apiserver.Config{
		Store: d.store, Listener: listener, PKI: bundle,
		ServiceSubnet: network.ServiceRange(d.settings.Subnet), ClusterDNS: network.DNSAddr(d.settings.Subnet), ClusterDomain: clusterDomain,
		Reachable: netip.AddrPortFrom(network.RelayAddr(d.settings.Subnet), network.RelayAPIPort),
		Dial:      d.network.DialContext,
		Extra:     map[string]http.Handler{client.ControlPath: d.control()},
		Groups: func(shared informers.SharedInformerFactory) []*genericapiserver.APIGroupInfo {
			core := shared.Core().V1()
			return []*genericapiserver.APIGroupInfo{metrics.Group(usage{d}, core.Pods().Lister(), core.Nodes().Lister())}
		},
		Logger: d.log,
	})
	if err != nil {
		return err
	}
	d.client = d.api.Client()
	exec := &rest.Config{Host: d.url(), QPS: -1, TLSClientConfig: rest.TLSClientConfig{
		CAData: bundle.CA.Cert, CertData: bundle.Admin.Cert, KeyData: bundle.Admin.Key,
	}}
	d.sets = newSets(ctx, d.profile, d.api.LoopbackConfig(), exec, d.engine.Host(), d.log)
	return nil
}

// startAPI serves, and tells the world where.
func (d *daemon) startAPI(ctx context.Context, bundle *pki.Bundle, undo *stack) error {
	if err := d.api.Start(ctx); err != nil {
		return err
	}
	undo.push(d.api.Stop)
	d.supervise(ctx, "the API server", func(context.Context) error { return d.api.Wait() })

	url := d.url()
	err := d.profile.WriteKubeconfig(profile.Credentials{
		Server: url, CACert: bundle.CA.Cert, ClientCert: bundle.Admin.Cert, ClientKey: bundle.Admin.Key,
	})
	if err == nil {
		err = d.profile.WriteSettings(d.settings)
	}
	if err == nil {
		undo.push(d.profile.RemoveDaemon)
		err = d.profile.WriteDaemon(profile.Daemon{
			PID: os.Getpid(), URL: url, Version: d.opts.Version, Started: d.started, Executable: executable(),
		})
	}
	if err != nil {
		return err
	}
	d.tell.phase(client.PhaseAPI, "Kubernetes "+apiserver.KubernetesVersion()+" at "+url)
	return nil
}

// startRelay loads the helper image where it is absent and brings the pod network up.
func (d *daemon) startRelay(ctx context.Context) error {
	if err := thaw(ctx, d.engine, d.profile.Name); err != nil {
		return err
	}
	for retried := false; ; retried = true {
		ref, err := image.EnsureNode(ctx, d.engine)
		if err != nil {
			return err
		}
		d.nodeImage = ref
		// Whoever deletes the last other cluster takes the image along, until a container of this one holds it.
		if err := d.network.EnsureRelay(ctx, ref); retried || !errors.Is(err, docker.ErrNoImage) {
			return err
		}
	}
}
