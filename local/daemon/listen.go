package daemon

import (
	"fmt"
	"net"
	"strconv"

	"skiff.local/skiff/local/client"
)

// The API's port is the first free one of these at a cluster's first start. Chosen: away from 6443, which kind, k3d
// and minikube publish, and below every system's ephemeral ports.
const (
	firstAPIPort = 7443
	lastAPIPort  = 7542
)

// listenAPI opens the API's port on loopback. A wanted port that another program holds is a failure: the kubeconfigs
// that were given away name it. Without one, the first free port is taken.
func listenAPI(wanted int) (net.Listener, error) {
	if wanted != 0 {
		l, err := listenLoopback(wanted)
		if err == nil {
			return l, nil
		}
		failure := &client.Failure{
			Reason:  client.ReasonPortInUse,
			Message: fmt.Sprintf("port %d of 127.0.0.1, where the cluster's API listens, can't be used: %v", wanted, err),
			Hint:    "end the program that holds it, or choose another port with `skiff start --api-port`",
		}
		if free, err := freePort(); err == nil {
			port := free.Addr().(*net.TCPAddr).Port
			_ = free.Close()
			failure.Hint = fmt.Sprintf("end the program that holds it, or run `skiff start --api-port %d`, which is free", port)
		}
		return nil, failure
	}
	return freePort()
}

func freePort() (net.Listener, error) {
	for port := firstAPIPort; port <= lastAPIPort; port++ {
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
