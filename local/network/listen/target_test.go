package listen

import (
	"net/netip"
	"testing"
	"time"
)

func TestClientsFromElsewhereNeedToBeAdmitted(t *testing.T) {
	backends := []netip.AddrPort{netip.MustParseAddrPort("10.244.0.2:80")}
	narrow := []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("203.0.113.7/32")}
	for client, want := range map[string]struct{ any, narrow int }{
		"127.0.0.1": {1, 1}, "::1": {1, 1}, "192.168.1.9": {1, 1}, "::ffff:203.0.113.7": {1, 1}, "192.168.2.9": {1, 0}, "10.0.0.1": {1, 0},
	} {
		at := netip.MustParseAddr(client)
		if got := len(newTarget(Target{Backends: backends}).order(at, time.Time{})); got != want.any {
			t.Errorf("%s gets %d endpoints of a port for all", client, got)
		}
		if got := len(newTarget(Target{Backends: backends, Sources: narrow}).order(at, time.Time{})); got != want.narrow {
			t.Errorf("%s gets %d endpoints of a port for %v", client, got, narrow)
		}
	}
}
