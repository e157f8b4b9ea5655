package trust

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

func TestThePlanNamesEveryStoreOfAMachine(t *testing.T) {
	c := cert{path: "/home/jo/.skiff/ingress-ca.crt", pem: []byte("pem"), der: []byte("der")}
	const debian, fedora = "/usr/local/share/ca-certificates", "/etc/pki/ca-trust/source/anchors"
	const anchor = debian + "/skiff-local-ca-5050d80d.crt"
	for name, x := range map[string]struct {
		os    string
		paths []string
		files map[string]string
		undo  bool
		want  string
	}{
		"Debian": {"linux", []string{debian}, nil, false,
			"the system (root): install -m 0644 /home/jo/.skiff/ingress-ca.crt " + anchor + "; update-ca-certificates"},
		"Debian, done before": {"linux", []string{debian}, map[string]string{anchor: "pem"}, false, "the system (root): "},
		"Debian, undone":      {"linux", []string{debian}, map[string]string{anchor: "pem"}, true, "the system (root): rm -f " + anchor + "; update-ca-certificates --fresh"},
		"Debian, never done":  {"linux", []string{debian}, nil, true, "the system (root): "},
		"Fedora has Debian's directory too": {"linux", []string{debian, fedora}, nil, false,
			"the system (root): install -m 0644 /home/jo/.skiff/ingress-ca.crt " + fedora + "/skiff-local-ca-5050d80d.pem; update-ca-trust extract"},
		"a browser": {"linux", []string{"/home/jo/.pki/nssdb/cert9.db", "certutil"}, nil, false,
			"the browser's store /home/jo/.pki/nssdb: certutil -A -d sql:/home/jo/.pki/nssdb -t C,, -n skiff-local-ca-5050d80d -i /home/jo/.skiff/ingress-ca.crt"},
		"a browser without certutil": {"linux", []string{"/home/jo/.pki/nssdb/cert9.db"}, nil, false, "note: Firefox and Chrome have stores of their own here"},
		"macOS": {"darwin", nil, nil, false,
			"the login keychain: security add-trusted-cert -r trustRoot -k /home/jo/Library/Keychains/login.keychain-db /home/jo/.skiff/ingress-ca.crt"},
		"Windows, undone": {"windows", nil, nil, true, "Windows: certutil -user -delstore Root 7d44c33cf9a82ab9bd5300d266784504e9772177"},
	} {
		t.Run(name, func(t *testing.T) {
			has := func(path string) bool { return slices.Contains(x.paths, path) }
			m := machine{os: x.os, home: "/home/jo", exists: has,
				read: func(path string) ([]byte, error) {
					if content, ok := x.files[path]; ok {
						return []byte(content), nil
					}
					return nil, fs.ErrNotExist
				},
				look: func(program string) (string, error) {
					if has(program) {
						return program, nil
					}
					return "", errors.New("not found")
				},
				glob: func(pattern string) ([]string, error) {
					if has(pattern + "/cert9.db") {
						return []string{pattern}, nil
					}
					return nil, nil
				},
			}
			var got []string
			p := m.plan(c, x.undo)
			for _, s := range p.stores {
				var lines []string
				for _, c := range s.commands {
					lines = append(lines, c.String())
				}
				root := ""
				if s.root {
					root = " (root)"
				}
				got = append(got, s.name+root+": "+strings.Join(lines, "; "))
			}
			for _, n := range p.notes {
				got = append(got, "note: "+n)
			}
			if text := strings.Join(got, "\n"); text != x.want && !(strings.HasPrefix(x.want, "note:") && strings.HasPrefix(text, x.want)) {
				t.Errorf("planned\n%s\nwant\n%s", text, x.want)
			}
		})
	}
}
