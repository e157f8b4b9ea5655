package status

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/iostreams"
	"skiff.local/skiff/local/client"
)

func TestTheScreen(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	well := client.Status{
		Profile: "skiff", Context: "skiff", Running: true,
		Daemon:   &client.DaemonStatus{PID: 7, Started: now.Add(-90 * time.Second), RSS: 98_000_000},
		API:      client.APIStatus{URL: "https://127.0.0.1:7443", Ready: true},
		Engine:   client.EngineStatus{Host: "unix:///var/run/docker.sock", Ready: true},
		Network:  client.NetworkStatus{Subnet: netip.MustParsePrefix("10.244.0.0/16"), Relay: "running", DNS: true},
		Store:    client.StoreStatus{Objects: 120, Bytes: 1_500_000},
		Versions: client.Versions{Skiff: "0.1.0", Kubernetes: "v1.36.3", Engine: "20.10.24", EngineAPI: "1.41"},
		Pods:     client.PodCounts{Total: 5, Ready: 3, Completed: 2},
		Services: []client.ServiceStatus{{Namespace: "default", Name: "hello", Type: "NodePort", URLs: []string{"http://127.0.0.1:31234"}}},
	}
	unwell := well
	unwell.Services = nil
	unwell.Pods = client.PodCounts{Total: 1}
	unwell.Problems = []client.Problem{{Object: "pod default/web-1", Reason: "ErrImagePull", Message: "no such image nope:1", Hint: "docker build -t nope:1 ."}}

	many := unwell
	many.Engine.Rootless, many.Engine.Unlimited = true, []string{"CPU", "memory"}
	many.Network.HTTP, many.Network.HTTPS = 8080, 8443
	many.Pods = client.PodCounts{Total: 6}
	pull := `container c: Back-off pulling image "nope:1": ErrImagePull: Failed to pull image "nope:1": no such host`
	many.Problems = []client.Problem{
		{Object: "pod/a/web-1", Reason: "ImagePullBackOff", Message: pull, Hint: "skiff why web-1 -n a", Image: "nope:1", Owner: "ReplicaSet/web"},
		{Object: "pod/a/web-2", Reason: "ErrImagePull", Message: "other words", Hint: "skiff why web-2 -n a", Image: "nope:1", Owner: "ReplicaSet/web"},
		{Object: "pod/b/job-1", Reason: "ErrImageNeverPull", Message: "other words", Hint: "skiff why job-1 -n b", Image: "nope:1"},
		{Object: "pod/a/api-1", Reason: "CrashLoopBackOff", Message: "back-off 10s", Hint: "skiff why api-1 -n a", Owner: "ReplicaSet/api"},
		{Object: "pod/a/api-2", Reason: "CrashLoopBackOff", Message: "back-off 20s", Hint: "skiff why api-2 -n a", Owner: "ReplicaSet/api"},
		{Object: "pod/b/api-1", Reason: "CrashLoopBackOff", Message: "back-off 20s", Hint: "skiff why api-1 -n b", Owner: "ReplicaSet/api"},
		{Object: "network", Reason: "IngressPort", Message: "Ingresses are not served on port 80"},
		{Object: "network", Reason: "IngressPort", Message: "Ingresses are not served on port 443"},
	}

	for name, test := range map[string]struct {
		status client.Status
		want   string
	}{
		"a stopped cluster says how to start it": {client.Status{Profile: "blue", Context: "skiff-blue"}, `skiff is not running  profile blue, context skiff-blue

Start it with: skiff -p blue start
`},
		"a paused cluster says how it goes on": {client.Status{Profile: "blue", Context: "skiff-blue", Left: &client.LeftContainers{Paused: 3}}, `skiff is paused  profile blue, context skiff-blue

3 containers are frozen. Go on with: skiff -p blue resume
`},
		"what runs on without its daemon is said": {client.Status{Profile: "skiff", Context: "skiff", Left: &client.LeftContainers{Running: 1}}, `skiff is not running  profile skiff, context skiff

1 container runs on without the daemon. Start it with: skiff start   or stop them with: skiff stop
`},
		"what many pods share is said once": {many, `skiff runs, and something is not well  profile skiff, context skiff

✓ daemon   pid 7, up 1m30s, 98 MB, skiff 0.1.0
✓ API      https://127.0.0.1:7443, Kubernetes v1.36.3
✓ engine   Docker 20.10.24 (API 1.41) at unix:///var/run/docker.sock, rootless, limits not enforced: CPU, memory
✓ network  10.244.0.0/16, relay running, DNS answers, Ingresses on ports 8080 and 8443
✓ store    120 objects, 1.5 MB
✗ pods     0 of 6 ready

Not well
  ✗ image nope:1 is missing, and 3 pods wait for it: no such host
    docker build -t nope:1 .   or: skiff why web-1 -n a
  ✗ pod/a/api-1 and 1 more of ReplicaSet/api: CrashLoopBackOff: back-off 10s
    skiff why api-1 -n a
  ✗ pod/b/api-1: CrashLoopBackOff: back-off 20s
    skiff why api-1 -n b
  ✗ network: IngressPort: Ingresses are not served on port 80
  ✗ network: IngressPort: Ingresses are not served on port 443
`},
		"a healthy cluster": {well, `skiff is well  profile skiff, context skiff

✓ daemon   pid 7, up 1m30s, 98 MB, skiff 0.1.0
✓ API      https://127.0.0.1:7443, Kubernetes v1.36.3
✓ engine   Docker 20.10.24 (API 1.41) at unix:///var/run/docker.sock
✓ network  10.244.0.0/16, relay running, DNS answers
✓ store    120 objects, 1.5 MB
✓ pods     3 of 3 ready, 2 completed

On localhost
  default/hello  NodePort  http://127.0.0.1:31234
`},
		"what is not well comes last, with the next step": {unwell, `skiff runs, and something is not well  profile skiff, context skiff

✓ daemon   pid 7, up 1m30s, 98 MB, skiff 0.1.0
✓ API      https://127.0.0.1:7443, Kubernetes v1.36.3
✓ engine   Docker 20.10.24 (API 1.41) at unix:///var/run/docker.sock
✓ network  10.244.0.0/16, relay running, DNS answers
✓ store    120 objects, 1.5 MB
✗ pods     0 of 1 ready

Not well
  ✗ pod default/web-1: ErrImagePull: no such image nope:1
    docker build -t nope:1 .
`},
	} {
		t.Run(name, func(t *testing.T) {
			io, _, out, _ := iostreams.Test()
			render(out, test.status, &env.Env{IO: io, ProfileName: test.status.Profile}, now)
			if diff := cmp.Diff(test.want, out.String()); diff != "" {
				t.Errorf("screen (-want +got):\n%s", diff)
			}
		})
	}
}
