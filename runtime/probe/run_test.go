package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/kubernetes/pkg/probe"
)

// script makes a target whose exec probe answers by the clock.
func script(answer func(at time.Duration) int) Target {
	start := time.Now()
	return Target{Exec: func(context.Context, []string) (int, []byte, error) { return answer(time.Since(start)), nil, nil }}
}

func execProbe(change func(*v1.Probe)) *v1.Probe {
	p := &v1.Probe{PeriodSeconds: 10, FailureThreshold: 3, SuccessThreshold: 1, TimeoutSeconds: 1, ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{}}}
	if change != nil {
		change(p)
	}
	return p
}

func TestSchedules(t *testing.T) {
	for _, test := range []struct {
		name   string
		kind   Kind
		probe  *v1.Probe
		answer func(time.Duration) int
		want   string // second, result, "!" when settled
	}{
		{"liveness ends with its third failure", Liveness, execProbe(nil), func(time.Duration) int { return 1 }, "0- 10- 20-!"},
		{"a success starts the count over", Liveness, execProbe(nil), func(at time.Duration) int {
			if at == 20*time.Second {
				return 0
			}
			return 1
		}, "0- 10- 20+! 30- 40- 50-!"},
		{"startup ends with its first success", Startup, execProbe(func(p *v1.Probe) { p.FailureThreshold = 30; p.InitialDelaySeconds = 5 }), func(at time.Duration) int {
			if at < 20*time.Second {
				return 1
			}
			return 0
		}, "5- 15- 25+!"},
		{"readiness goes on", Readiness, execProbe(func(p *v1.Probe) { p.SuccessThreshold, p.FailureThreshold, p.PeriodSeconds = 2, 1, 20 }), func(time.Duration) int { return 0 },
			"0+ 20+! 40+! 60+!"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(context.Background(), 65*time.Second)
				defer cancel()
				start := time.Now()
				var got []string
				Run(ctx, test.kind, test.probe, script(test.answer), start, func(o Outcome) {
					sign := map[bool]string{true: "+", false: "-"}[o.OK]
					if o.Settled {
						sign += "!"
					}
					got = append(got, fmt.Sprintf("%.0f%s", time.Since(start).Seconds(), sign))
				})
				if s := strings.Join(got, " "); s != test.want {
					t.Errorf("%s, want %s", s, test.want)
				}
			})
		})
	}
}

func TestAServerIsReadyWhenItIsAndNotAPeriodLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		start := time.Now()
		target := Target{Container: &v1.Container{}, PodIP: "10.0.0.1", Dial: func(context.Context, string, string) (net.Conn, error) {
			if time.Since(start) < 700*time.Millisecond {
				return nil, errors.New("connection refused")
			}
			a, b := net.Pipe()
			_ = b.Close()
			return a, nil
		}}
		spec := &v1.Probe{PeriodSeconds: 10, FailureThreshold: 3, ProbeHandler: v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{}}}
		spec.TCPSocket.Port.IntVal = 80
		var failures int
		Run(ctx, Readiness, spec, target, start, func(o Outcome) {
			if !o.OK {
				failures++
				return
			}
			if took := time.Since(start); took > 1600*time.Millisecond {
				t.Errorf("ready after %v", took)
			}
			cancel()
		})
		if failures != 1 {
			t.Errorf("%d failures were reported: only those of kubelet's schedule should be", failures)
		}
	})
}

func TestATimeoutIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := Target{Exec: func(ctx context.Context, _ []string) (int, []byte, error) {
			<-ctx.Done()
			return 0, nil, ctx.Err()
		}}
		result, message := check(context.Background(), execProbe(nil), target, time.Second)
		if result != probe.Failure || !strings.Contains(message, "timed out after 1s") {
			t.Errorf("%v %q", result, message)
		}
	})
}

func TestARedirectToAnotherHostIsAWarning(t *testing.T) {
	server := httptest.NewServer(http.RedirectHandler("http://0.0.0.0/", http.StatusFound))
	defer server.Close()
	target := Target{PodIP: "127.0.0.1", Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}}
	var got []Outcome
	ctx, cancel := context.WithCancel(t.Context())
	spec := &v1.Probe{PeriodSeconds: 10, TimeoutSeconds: 5, ProbeHandler: v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: "/", Port: intstr.FromInt32(80)}}}
	Run(ctx, Readiness, spec, target, time.Now(), func(o Outcome) { got = append(got, o); cancel() })
	if len(got) != 1 || !got[0].OK || !got[0].Warning || !strings.Contains(got[0].Message, "Probe terminated redirects") {
		t.Errorf("%+v", got)
	}
}
