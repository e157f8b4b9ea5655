package client

import (
	"net/netip"
	"slices"
	"testing"

	"skiff.local/skiff/local/profile"
)

func TestValuesThatNoClusterCanHave(t *testing.T) {
	for name, c := range map[string]struct {
		options StartOptions
		valid   bool
	}{
		"nothing":                 {StartOptions{}, true},
		"all of them":             {StartOptions{APIPort: 7443, Nodes: 3, Bind: "0.0.0.0", Subnet: "10.99.0.0/16"}, true},
		"an IPv6 address":         {StartOptions{Bind: "::1"}, true},
		"a port that is none":     {StartOptions{APIPort: 99999}, false},
		"a negative port":         {StartOptions{APIPort: -1}, false},
		"a negative node":         {StartOptions{Nodes: -3}, false},
		"a data centre":           {StartOptions{Nodes: 500}, false},
		"a name":                  {StartOptions{Bind: "localhost"}, false},
		"a public network":        {StartOptions{Subnet: "1.2.0.0/16"}, false},
		"an address in a network": {StartOptions{Subnet: "10.9.9.9/16"}, false},
		"a small network":         {StartOptions{Subnet: "10.9.9.0/24"}, false},
	} {
		err := c.options.Validate()
		if f := AsFailure(err); (err == nil) != c.valid || err != nil && (f.Reason != ReasonInvalid || f.Hint == "") {
			t.Errorf("%s: %#v", name, err)
		}
	}
}

func TestFlagsThatComeTooLateAreNamed(t *testing.T) {
	has := profile.Settings{APIPort: 7443, Nodes: 1, Subnet: netip.MustParsePrefix("10.99.0.0/16")}
	if late := (StartOptions{APIPort: 7443, Nodes: 1, Subnet: "10.99.0.0/16"}).Differing(has); late != nil {
		t.Errorf("what it has: %v", late)
	}
	late := StartOptions{APIPort: 7444, Nodes: 3, Subnet: "10.98.0.0/16", Bind: "0.0.0.0"}.Differing(has)
	if want := []string{"--api-port 7444", "--subnet 10.98.0.0/16", "--nodes 3", "--bind 0.0.0.0"}; !slices.Equal(late, want) {
		t.Errorf("Differing = %v", late)
	}
}
