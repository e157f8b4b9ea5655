package network

import (
	"fmt"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff.local/skiff/local/network/relayproto"
)

func testProgram() *program {
	return newProgram(&Network{cfg: Config{Subnet: netip.MustParsePrefix("10.244.0.0/16"), ClusterDomain: "cluster.local"}})
}

// The engine gives a pod's address to the next pod at once, while its EndpointSlice may still call the old pod ready:
// connections were refused by the newcomer, which did not listen yet.
func TestAPodThatIsNoMoreDoesNotComeBackAsAnEndpoint(t *testing.T) {
	p := testProgram()
	key := relayproto.Key{Namespace: "default", Name: "web"}
	p.setService(key, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec:       corev1.ServiceSpec{ClusterIPs: []string{"10.244.128.7"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	})
	endpoints := func(list ...string) { p.setSlice(key, "s", slice(80, "http", list...)) }
	expect := func(want string) {
		t.Helper()
		p.take()
		if got := fmt.Sprint(p.backends(key, 80)); got != want {
			t.Errorf("backends = %s, want %s", got, want)
		}
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a", UID: "a"}}
	endpoints("10.244.0.1/a", "10.244.0.2/b")
	expect("[10.244.0.1:80 10.244.0.2:80]")
	p.drain("a")
	expect("[10.244.0.2:80]")
	p.dropPod(pod)
	endpoints("10.244.0.1/a", "10.244.0.2/b", "10.244.0.3/c")
	expect("[10.244.0.2:80 10.244.0.3:80]")
	endpoints("10.244.0.2/b", "10.244.0.3/c")
	expect("[10.244.0.2:80 10.244.0.3:80]")
	if len(p.ended)+len(p.draining)+len(p.byPod)-2 != 0 {
		t.Errorf("remembered for nothing: ended %v, draining %v, by pod %v", p.ended, p.draining, p.byPod)
	}
}

func TestWhatIsNotToldIsToldLater(t *testing.T) {
	p := testProgram()
	svc := func(name, ip string) {
		p.setService(relayproto.Key{Namespace: "default", Name: name}, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: corev1.ServiceSpec{ClusterIPs: []string{ip}},
		})
	}
	names := func(u relayproto.Update) (out []string) {
		for _, s := range u.Services {
			out = append(out, s.Name)
		}
		for _, k := range u.Removed {
			out = append(out, "-"+k.Name)
		}
		return out
	}
	svc("a", "10.244.128.1")
	p.take()
	svc("b", "10.244.128.2")
	p.setService(relayproto.Key{Namespace: "default", Name: "a"}, nil)
	p.take()
	u, any := p.compose(false)
	if got := fmt.Sprint(names(u)); !any || got != "[b -a]" {
		t.Errorf("told %s", got)
	}
	if _, any := p.compose(false); any {
		t.Error("the same is told twice")
	}
	if u, _ := p.compose(true); fmt.Sprint(names(u)) != "[b]" || !u.Full || u.Policies == nil || u.Namespaces == nil {
		t.Errorf("everything is %+v", u)
	}
}
