package trust

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// A machine is what decides which stores there are.
type machine struct {
	os     string // as runtime.GOOS
	home   string // the user's
	exists func(path string) bool
	read   func(path string) ([]byte, error)
	look   func(program string) (string, error)
	glob   func(pattern string) ([]string, error)
}

// A cert is the certificate to trust.
type cert struct {
	path     string
	pem, der []byte
}

// id keeps apart what several folders of skiff on one machine may have put into one store.
func (c cert) id() string {
	sum := sha256.Sum256(c.der)
	return "skiff-local-ca-" + hex.EncodeToString(sum[:4])
}

// A plan is what to do to every store.
type plan struct {
	stores []store
	notes  []string // what is worth knowing besides
}

// A store is a set of certificates that programs trust.
type store struct {
	name     string
	root     bool // only root may change it
	commands []command
}

type command struct {
	args    []string
	mayFail bool // it does when there is nothing to remove
}

func (c command) String() string {
	quoted := make([]string, len(c.args))
	for i, a := range c.args {
		quoted[i] = a
		if strings.ContainsAny(a, " '\"$&;()*?") {
			quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

func run(args ...string) command { return command{args: args} }

// plan says how to make the machine trust a certificate, or how to undo it.
func (m machine) plan(c cert, undo bool) plan {
	var p plan
	switch m.os {
	case "darwin":
		p.stores = append(p.stores, m.keychain(c, undo))
	case "windows":
		p.stores = append(p.stores, windows(c, undo))
		return p // Firefox reads the system's store there, and certutil is another program
	default:
		if s, ok := m.anchors(c, undo); ok {
			p.stores = append(p.stores, s)
		}
	}
	m.nss(&p, c, undo)
	return p
}

// anchorDirs are where distributions take certificates from, each with what makes them known. The first that exists is
// taken: Fedora has Debian's name for other things. Debian leaves links to what is gone, unless it starts afresh.
var anchorDirs = []struct {
	dir, ending  string
	update, undo []string
}{
	{"/etc/pki/ca-trust/source/anchors", ".pem", []string{"update-ca-trust", "extract"}, []string{"update-ca-trust", "extract"}},    // Fedora, RHEL
	{"/etc/ca-certificates/trust-source/anchors", ".crt", []string{"trust", "extract-compat"}, []string{"trust", "extract-compat"}}, // Arch
	{"/usr/share/pki/trust/anchors", ".crt", []string{"update-ca-certificates"}, []string{"update-ca-certificates", "--fresh"}},     // openSUSE
	{"/usr/local/share/ca-certificates", ".crt", []string{"update-ca-certificates"}, []string{"update-ca-certificates", "--fresh"}}, // Debian, Alpine
}

func (m machine) anchors(c cert, undo bool) (store, bool) {
	for _, a := range anchorDirs {
		if !m.exists(a.dir) {
			continue
		}
		s := store{name: "the system", root: true}
		path := filepath.Join(a.dir, c.id()+a.ending)
		have, err := m.read(path)
		switch {
		case undo && err == nil:
			s.commands = []command{run("rm", "-f", path), run(a.undo...)}
		case !undo && !bytes.Equal(have, c.pem):
			s.commands = []command{run("install", "-m", "0644", c.path, path), run(a.update...)}
		}
		return s, true
	}
	return store{}, false
}

// keychain is the user's: macOS asks for the password in a window.
func (m machine) keychain(c cert, undo bool) store {
	login := filepath.Join(m.home, "Library/Keychains/login.keychain-db")
	s := store{name: "the login keychain", commands: []command{run("security", "add-trusted-cert", "-r", "trustRoot", "-k", login, c.path)}}
	if undo {
		sum := sha1.Sum(c.der)
		s.commands = []command{
			{args: []string{"security", "remove-trusted-cert", c.path}, mayFail: true},
			{args: []string{"security", "delete-certificate", "-Z", strings.ToUpper(hex.EncodeToString(sum[:])), login}, mayFail: true},
		}
	}
	return s
}

// windows is the user's store: Windows asks in a window.
func windows(c cert, undo bool) store {
	s := store{name: "Windows", commands: []command{run("certutil", "-user", "-addstore", "Root", c.path)}}
	if undo {
		sum := sha1.Sum(c.der)
		s.commands = []command{{args: []string{"certutil", "-user", "-delstore", "Root", hex.EncodeToString(sum[:])}, mayFail: true}}
	}
	return s
}

// nssDirs are where browsers keep the databases that don't follow the system's, below the home directory.
var nssDirs = []string{
	".pki/nssdb", ".mozilla/firefox/*", ".config/mozilla/firefox/*", // Chrome; Firefox
	"snap/chromium/current/.pki/nssdb", "snap/firefox/common/.mozilla/firefox/*",
	".var/app/org.mozilla.firefox/.mozilla/firefox/*",
	"Library/Application Support/Firefox/Profiles/*",
}

func (m machine) nss(p *plan, c cert, undo bool) {
	var databases []string
	for _, pattern := range nssDirs {
		found, _ := m.glob(filepath.Join(m.home, pattern))
		for _, dir := range found {
			if m.exists(filepath.Join(dir, "cert9.db")) {
				databases = append(databases, dir)
			}
		}
	}
	if len(databases) == 0 {
		return
	}
	certutil, err := m.look("certutil")
	if err != nil {
		p.notes = append(p.notes, "Firefox and Chrome have stores of their own here, which take certutil to change: install libnss3-tools (Debian, Ubuntu), nss-tools (Fedora) or nss (Arch, Homebrew) and run this again")
		return
	}
	slices.Sort(databases)
	s := store{name: fmt.Sprintf("Firefox and Chrome (%d stores)", len(databases))}
	if len(databases) == 1 {
		s.name = "the browser's store " + databases[0]
	}
	for _, dir := range databases {
		if undo {
			s.commands = append(s.commands, command{args: []string{certutil, "-D", "-d", "sql:" + dir, "-n", c.id()}, mayFail: true})
			continue
		}
		s.commands = append(s.commands, run(certutil, "-A", "-d", "sql:"+dir, "-t", "C,,", "-n", c.id(), "-i", c.path))
	}
	p.stores = append(p.stores, s)
}
