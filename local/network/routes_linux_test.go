package network

import (
	"fmt"
	"strings"
	"testing"
)

func TestRoutesAreReadWithoutTheDefault(t *testing.T) {
	routes, err := parseRoutes(strings.NewReader(`Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
tun0	00000000	00000000	0001	0	0	0	00000080	0	0	0
tun0	00000080	00000000	0001	0	0	0	00000080	0	0	0
docker0	000011AC	00000000	0001	0	0	0	0000FFFF	0	0	0
tun0	0000000A	0100080A	0003	0	0	50	000000FF	0	0	0
`))
	if got := fmt.Sprint(routes); err != nil || got != "[172.17.0.0/16 10.0.0.0/8]" {
		t.Errorf("routes = %s, %v", got, err)
	}
}

func FuzzParseRoutes(f *testing.F) {
	f.Add("h\neth0\t00000000\t0\t0\t0\t0\t0\t00000000\n")
	f.Fuzz(func(t *testing.T, table string) {
		routes, _ := parseRoutes(strings.NewReader(table))
		for _, r := range routes {
			if !r.IsValid() {
				t.Errorf("invalid route from %q", table)
			}
		}
	})
}
