package corefile

import (
	"fmt"
	"testing"
)

func TestWhatPeopleWriteIsRead(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"the stock Corefile changes nothing", `
.:53 {
    errors
    health {
       lameduck 5s
    }
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       ttl 30
    }
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30
}`, "map[] map[]"},
		{"a stub domain", "consul.local:53 {\n  errors\n  cache 30\n  forward . 10.150.0.1 10.150.0.2:5353\n}", "map[consul.local:[10.150.0.1:53 10.150.0.2:5353]] map[]"},
		{"two zones in one block", "A.example. b.example {\n forward . 10.0.0.1 # mine\n}", "map[a.example:[10.0.0.1:53] b.example:[10.0.0.1:53]] map[]"},
		{"another resolver for everything", ".:53 {\n forward . 9.9.9.9\n}", "map[.:[9.9.9.9:53]] map[]"},
		{"fixed hosts", ".:53 {\n hosts {\n  10.0.0.5 Git.example.org git\n  fallthrough\n }\n}", "map[] map[git:[10.0.0.5] git.example.org:[10.0.0.5]]"},
	} {
		got, err := Parse(c.text)
		if s := fmt.Sprint(got.Stubs, " ", got.Hosts); err != nil || s != c.want {
			t.Errorf("%s: %s, %v; want %s", c.name, s, err, c.want)
		}
	}
	for _, text := range []string{"a {", "}", "a {\n forward . nonsense\n}", "a {\n forward . tls://9.9.9.9\n}", "a { forward . 1.1.1.1 }"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
	got, err := ParseStubDomains(`{"acme.local": ["1.2.3.4", "5.6.7.8:54"]}`)
	if s := fmt.Sprint(got.Stubs); err != nil || s != "map[acme.local:[1.2.3.4:53 5.6.7.8:54]]" {
		t.Errorf("kube-dns: %s, %v", s, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("consul.local:53 {\n forward . 10.150.0.1\n}")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(text)
		if err != nil {
			return
		}
		var again Config
		again.Merge(c)
		again.Merge(c)
		if fmt.Sprint(again.Stubs) != fmt.Sprint(c.Stubs) {
			t.Errorf("merged to %v from %v", again, c)
		}
	})
}
