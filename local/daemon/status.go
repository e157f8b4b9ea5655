package daemon

import (
	"context"
	"net/netip"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"

	"skiff.local/skiff/local/apiserver"
	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/controllers/nodes"
	"skiff.local/skiff/local/memory"
	"skiff.local/skiff/local/network"
)

// pingTimeout bounds the question whether the engine answers: status is for when things hang.
const pingTimeout = 2 * time.Second

// status looks at every part. What can't be learnt is a problem of its own, never a failure of the whole.
func (d *daemon) status(ctx context.Context) client.Status {
	stats := d.store.Stats()
	s := client.Status{
		Profile: d.profile.Name, Context: d.profile.Context(), Running: true,
		Daemon: &client.DaemonStatus{PID: os.Getpid(), Started: d.started, RSS: memory.Resident(), LogFile: d.profile.LogPath()},
		API:    client.APIStatus{URL: d.url(), Ready: true},
		Engine: client.EngineStatus{Host: d.engine.Host(), Ready: true},
		Store:  client.StoreStatus{Revision: stats.Revision, Objects: stats.Objects, Bytes: stats.FileBytes},
		Versions: client.Versions{
			Skiff: d.opts.Version, Kubernetes: apiserver.KubernetesVersion(), EngineAPI: d.engine.APIVersion(),
		},
		Problems: []client.Problem{},
	}
	for _, n := range nodes.Numbered(d.profile.Name, d.settings.Nodes) {
		s.Nodes = append(s.Nodes, n.Name)
	}
	add := func(p ...client.Problem) { s.Problems = append(s.Problems, p...) }

	if stats.LastError != nil {
		add(client.Problem{Object: "store", Reason: "WriteFailed", Message: stats.LastError.Error(), Hint: "free some disk space"})
	}
	d.engineStatus(ctx, &s, add)
	net := d.networkStatus(&s, add)

	counts, problems, err := podHealth(d.profile, d.api.Informers().Core().V1().Pods().Lister())
	if err != nil {
		add(client.Problem{Object: "pods", Reason: "Unknown", Message: err.Error()})
	}
	s.Pods = counts
	add(problems...)
	at := func(svc *corev1.Service, port int32, proto corev1.Protocol) []netip.Addr {
		return d.network.Answering(svc.Namespace, svc.Name, port, proto)
	}
	if s.Services, err = serviceURLs(d.api.Informers().Core().V1().Services().Lister(), at); err != nil {
		add(client.Problem{Object: "services", Reason: "Unknown", Message: err.Error()})
	}
	ingresses, err := ingressURLs(d.api.Informers().Networking().V1().Ingresses().Lister(), webPorts{net.HTTP, net.HTTPS})
	if err != nil {
		add(client.Problem{Object: "ingresses", Reason: "Unknown", Message: err.Error()})
	}
	s.Services = append(append(s.Services, ingresses...), routeURLs(net.Routes)...)
	for i := range s.Services {
		object := "service/" + s.Services[i].Namespace + "/" + s.Services[i].Name
		for _, p := range s.Problems {
			if p.Object == object {
				s.Services[i].Problem = p.Message
			}
		}
	}
	s.Sets = d.sets.status()
	for _, set := range s.Sets {
		for _, line := range set.Errors {
			add(client.Problem{Object: "set/" + set.Name, Reason: "NotApplied", Message: line})
		}
	}
	return s
}

func (d *daemon) engineStatus(ctx context.Context, s *client.Status, add func(...client.Problem)) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	info, err := d.engine.Info(ctx)
	if err != nil {
		f := failure(err, d.profile)
		s.Engine.Ready, s.Engine.Error = false, f.Message
		add(client.Problem{Object: "engine", Reason: string(f.Reason), Message: f.Message, Hint: f.Hint})
		return
	}
	s.Versions.Engine = info.ServerVersion
	s.Engine.Rootless, s.Engine.Unlimited = info.Rootless, info.Unlimited()
}

func (d *daemon) networkStatus(s *client.Status, add func(...client.Problem)) network.Status {
	n := d.network.Status()
	s.Network = client.NetworkStatus{Subnet: n.Subnet, Relay: "running", DNS: d.isReady() && n.Connected, HTTP: n.HTTP, HTTPS: n.HTTPS}
	if !n.Connected {
		s.Network.Relay = "not connected"
	}
	for _, p := range n.Problems {
		object := p.Object
		if object == "" {
			object = "network"
		}
		add(client.Problem{Object: object, Reason: p.Reason, Message: p.Message, Hint: p.Hint})
	}
	return n
}

func (d *daemon) isReady() bool {
	select {
	case <-d.ready:
		return true
	default:
		return false
	}
}
