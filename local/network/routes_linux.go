package network

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/bits"
	"net/netip"
	"os"
	"strings"
)

// hostRoutes lists the IPv4 routes of this host, without the default route and its halves, as VPNs write it.
func hostRoutes() ([]netip.Prefix, error) {
	f, err := os.Open("/proc/net/route")
	if err != nil {
		return nil, fmt.Errorf("read the routes of this host: %w", err)
	}
	defer f.Close()
	return parseRoutes(f)
}

// parseRoutes reads the format of /proc/net/route: a header, then lines of interface, destination, gateway, flags,
// refcount, use, metric, mask…, addresses being little-endian hexadecimal.
func parseRoutes(r io.Reader) ([]netip.Prefix, error) {
	var routes []netip.Prefix
	lines := bufio.NewScanner(r)
	lines.Scan()
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 8 {
			continue
		}
		dst, ok := littleEndian(fields[1])
		mask, ok2 := littleEndian(fields[7])
		if !ok || !ok2 {
			continue
		}
		ones := bits.OnesCount32(mask)
		if ones > 1 {
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], dst)
			routes = append(routes, netip.PrefixFrom(netip.AddrFrom4(b), ones))
		}
	}
	return routes, lines.Err()
}

func littleEndian(s string) (uint32, bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 4 {
		return 0, false
	}
	return binary.LittleEndian.Uint32(b), true
}
