package daemon

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"

	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/profile"
)

// The API's port is the first free one of these at a cluster's first start. Chosen: away from 6443, which kind, k3d
// and minikube publish, and below every system's ephemeral ports.
const (
	firstAPIPort = 7443
	lastAPIPort  = 7542
)

// listenAPI opens the API's port on loopback: the one it had, if it had one. When another program holds that, a port
// that the user fixed is a failure, and one that skiff chose gives way to another, because the start writes the
// kubeconfig anew anyway. Ports that others are not using now but will want back are left out.
func listenAPI(wanted int, fixed bool, others map[int]bool) (net.Listener, error) {
	if wanted != 0 {
		l, err := listenLoopback(wanted)
		if err == nil {
			return l, nil
		}
		if !fixed {
			return freePort(others)
		}
		failure := &client.Failure{
			Reason:  client.ReasonPortInUse,
			Message: fmt.Sprintf("port %d of 127.0.0.1, where the cluster's API listens, can't be used: %v", wanted, err),
			Hint:    "end the program that holds it, or choose another port with `skiff start --api-port`",
		}
		if free, err := freePort(others); err == nil {
			port := free.Addr().(*net.TCPAddr).Port
			_ = free.Close()
			failure.Hint = fmt.Sprintf("end the program that holds it, or run `skiff start --api-port %d`, which is free", port)
		}
		return nil, failure
	}
	return freePort(others)
}

// portsOfOthers are the API ports of the other profiles in the same folder, running or not.
func portsOfOthers(p *profile.Profile) map[int]bool {
	home := filepath.Dir(p.Dir)
	names, _ := profile.List(home)
	ports := map[int]bool{}
	for _, name := range names {
		if other, err := profile.Open(home, name); err == nil && name != p.Name {
			if settings, ok, err := other.ReadSettings(); ok && err == nil {
				ports[settings.APIPort] = true
			}
		}
	}
	return ports
}

func freePort(others map[int]bool) (net.Listener, error) {
	for port := firstAPIPort; port <= lastAPIPort; port++ {
		if others[port] {
			continue
		}
		if l, err := listenLoopback(port); err == nil {
			return l, nil
		}
	}
	return nil, &client.Failure{
		Reason:  client.ReasonPortInUse,
		Message: fmt.Sprintf("no port from %d to %d of 127.0.0.1 is free for the cluster's API", firstAPIPort, lastAPIPort),
		Hint:    "choose one with `skiff start --api-port`",
	}
}

func listenLoopback(port int) (net.Listener, error) {
	return net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}
