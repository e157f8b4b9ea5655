package network_test

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"skiff.local/skiff/local/network/networktest"
)

// testLocalhost is what reaches this machine of a cluster's Services, whichever way pod addresses are dialled. It runs
// several times on one cluster: way tells the runs' objects apart.
func testLocalhost(t *testing.T, c *networktest.Cluster, client *networktest.Pod, pods [2]*networktest.Pod, way string) {
	both := []networktest.Endpoint{{IP: pods[0].IP.String()}, {IP: pods[1].IP.String()}}
	ip := 60 // of this run's Services
	if way != "direct" {
		ip += 20
	}

	t.Run(way+": a client of a node port keeps to its endpoint with affinity, and moves on when that goes", func(t *testing.T) {
		port, name := freePort(t), "sticky-"+way
		s := webService(c, name, ip, port)
		s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
		c.Service(s)
		c.Slice("default", name, []networktest.Port{httpPort, udpPort}, both...)
		ask := func() string {
			got, _, _ := strings.Cut(httpGet(fmt.Sprintf("http://127.0.0.1:%d/", port)), " ")
			return got
		}
		var first string
		networktest.Eventually(t, networktest.Patience, func() string {
			if first = ask(); first != "one" && first != "two" {
				return first
			}
			return ""
		})
		for range 8 {
			if got := ask(); got != first {
				t.Fatalf("went to %q after %q", got, first)
			}
		}
		stays, want := both[1], "two"
		if first == "two" {
			stays, want = both[0], "one"
		}
		c.Slice("default", name, []networktest.Port{httpPort, udpPort}, stays)
		networktest.Eventually(t, networktest.Patience, func() string {
			if got := ask(); got != want {
				return got
			}
			return ""
		})
	})

	t.Run(way+": a UDP client of a node port moves on when its endpoint goes", func(t *testing.T) {
		port, name := freePort(t), "udp-"+way
		c.Service(webService(c, name, ip+1, port))
		conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for i, want := range []string{"one x", "two x"} {
			c.Slice("default", name, []networktest.Port{httpPort, udpPort}, both[i])
			networktest.Eventually(t, networktest.Patience, func() string {
				if got := exchange(conn, "x"); got != want {
					return got
				}
				return ""
			})
		}
	})

	t.Run(way+": a connection that one endpoint does not take goes to the next", func(t *testing.T) {
		port, name := freePort(t), "lost-"+way
		c.Service(webService(c, name, ip+2, port))
		nobody := networktest.Endpoint{IP: c.PodIP(100*256 + 200)}
		c.Slice("default", name, []networktest.Port{httpPort, udpPort}, nobody, both[0])
		url := fmt.Sprintf("http://127.0.0.1:%d/", port)
		networktest.Eventually(t, networktest.Patience, func() string {
			if got := httpGet(url); !strings.HasPrefix(got, "one") {
				return got
			}
			return ""
		})
		for range 3 { // whichever is tried first
			if got := httpGet(url); !strings.HasPrefix(got, "one") {
				t.Error(got)
			}
		}
	})

	t.Run(way+": a LoadBalancer answers on localhost and on an address of its own", func(t *testing.T) {
		port := freePort(t)
		for i, pod := range pods {
			name := fmt.Sprintf("lb%d-%s", i, way)
			s := webService(c, name, ip+3+i, freePort(t))
			s.Spec.Type = corev1.ServiceTypeLoadBalancer
			s.Spec.Ports = s.Spec.Ports[:1]
			s.Spec.Ports[0].Port = port
			s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
			s.Spec.HealthCheckNodePort = freePort(t)
			c.Service(s)
			c.Slice("default", name, []networktest.Port{httpPort, udpPort}, networktest.Endpoint{IP: pod.IP.String()})
			var ingress []corev1.LoadBalancerIngress
			networktest.Eventually(t, networktest.Patience, func() string {
				now, err := c.Client.CoreV1().Services("default").Get(t.Context(), name, metav1.GetOptions{})
				if err != nil {
					return err.Error()
				}
				ingress = now.Status.LoadBalancer.Ingress
				// The second one says nothing of localhost, which is the first one's.
				if len(ingress) == 0 || (ingress[0].Hostname == "localhost" && len(ingress[0].Ports) == 0) != (i == 0) {
					return fmt.Sprintf("status: %+v", ingress)
				}
				return ""
			})
			if i == 0 {
				networktest.Eventually(t, networktest.Patience, func() string {
					if got := httpGet(fmt.Sprintf("http://localhost:%d/", port)); !strings.HasPrefix(got, "one") {
						return got
					}
					return ""
				})
			}
			networktest.Eventually(t, networktest.Patience, func() string {
				if got := httpGet(fmt.Sprintf("http://localhost:%d/", s.Spec.HealthCheckNodePort)); !strings.Contains(got, `"localEndpoints": 1`) {
					return got
				}
				return ""
			})
			inside := fmt.Sprintf("http://%s:%d/", c.Network.Status().Relay, s.Spec.HealthCheckNodePort)
			networktest.Eventually(t, networktest.Patience, func() string {
				if got := client.Probe("get", inside); !strings.Contains(got, `"localEndpoints": 1`) {
					return got
				}
				return ""
			})
			if runtime.GOOS != "linux" {
				continue
			}
			networktest.Eventually(t, networktest.Patience, func() string {
				if got := httpGet(fmt.Sprintf("http://%s:%d/", ingress[len(ingress)-1].IP, port)); !strings.HasPrefix(got, pod.Name) {
					return got
				}
				return ""
			})
		}
		// The second one's claim to localhost is a problem that is told.
		networktest.Eventually(t, networktest.Patience, func() string {
			for _, p := range c.Network.Status().Problems {
				if p.Object == "service/default/lb1-"+way && strings.Contains(p.Message, "Service default/lb0-"+way+" has it") {
					return ""
				}
			}
			return fmt.Sprintf("%+v", c.Network.Status().Problems)
		})
	})

	t.Run(way+": a host port is open while the pod lives", func(t *testing.T) {
		port := freePort(t)
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "hosted-" + way, UID: types.UID("hosted-" + way)},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{
				{ContainerPort: 8080, HostPort: port, Protocol: corev1.ProtocolTCP},
			}}}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: pods[0].IP.String()},
		}
		if _, err := c.Client.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		url := fmt.Sprintf("http://127.0.0.1:%d/", port)
		networktest.Eventually(t, networktest.Patience, func() string {
			if got := httpGet(url); !strings.HasPrefix(got, "one") {
				return got
			}
			return ""
		})
		if got := client.Probe("get", fmt.Sprintf("http://%s:%d/", c.Network.Status().Relay, port)); !strings.HasPrefix(got, "one") {
			t.Errorf("from inside: %q", got)
		}
		if err := c.Client.CoreV1().Pods("default").Delete(t.Context(), "hosted-"+way, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		networktest.Eventually(t, networktest.Patience, func() string {
			if got := httpGet(url); !strings.Contains(got, "refused") {
				return got
			}
			return ""
		})
	})

	t.Run(way+": a node port that another program holds is told, and comes alive", func(t *testing.T) {
		holder, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := int32(holder.Addr().(*net.TCPAddr).Port)
		name := "late-" + way
		c.Service(webService(c, name, ip+5, port))
		c.Slice("default", name, []networktest.Port{httpPort, udpPort}, both[0])
		networktest.Eventually(t, networktest.Patience, func() string {
			events, err := c.Client.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{})
			if err != nil {
				return err.Error()
			}
			for _, e := range events.Items {
				if e.InvolvedObject.Name == name && e.Reason == "PortUnavailable" && strings.Contains(e.Message, "network.test") {
					return ""
				}
			}
			return fmt.Sprintf("no event names the holder: %+v", events.Items)
		})
		holder.Close()
		networktest.Eventually(t, networktest.Patience, func() string {
			if got := httpGet(fmt.Sprintf("http://127.0.0.1:%d/", port)); !strings.HasPrefix(got, "one") {
				return got
			}
			return ""
		})
	})
}

// exchange sends a packet and returns what comes back to it, or why nothing does.
func exchange(conn net.Conn, packet string) string {
	if err := conn.SetDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
		return err.Error()
	}
	if _, err := conn.Write([]byte(packet)); err != nil {
		return err.Error()
	}
	buf := make([]byte, 100)
	n, err := conn.Read(buf)
	if err != nil {
		return err.Error()
	}
	return string(buf[:n])
}
