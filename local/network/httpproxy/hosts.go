package httpproxy

import "strings"

// byHost keeps a value for each host pattern: a host, "*.rest" for all hosts below rest, or "" for any host.
type byHost[T any] map[string]T

// find is the value of the most specific pattern that a host has.
func (m byHost[T]) find(name string) (T, bool) {
	host := strings.ToLower(strings.TrimSuffix(name, "."))
	if v, ok := m[host]; ok {
		return v, true
	}
	for rest := host; ; {
		dot := strings.IndexByte(rest, '.')
		if dot < 0 {
			break
		}
		if v, ok := m["*"+rest[dot:]]; ok {
			return v, true
		}
		rest = rest[dot+1:]
	}
	v, ok := m[""]
	return v, ok
}
