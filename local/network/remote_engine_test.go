package network_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skiff.local/skiff/local/network/networktest"
	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/runtimetest/privateengine"
)

// An engine far away: its containers' addresses can't be dialled from here, and its API comes over TCP or ssh.
func TestNetworkOfAnEngineFarAway(t *testing.T) {
	private := privateengine.Start(t, privateengine.Options{Args: []string{"--live-restore"}})
	socket := strings.TrimPrefix(private.Host(), "unix://")
	t.Run("tcp", func(t *testing.T) {
		testNetwork(t, networktest.Options{Engine: connectTo(t, private.TCP())})
	})
	t.Run("ssh", func(t *testing.T) {
		testOverSSH(t, networktest.Options{Engine: connectTo(t, overSSH(t)+socket)})
	})
	t.Run("the engine dies and comes back", func(t *testing.T) { testEngineDies(t, private) })
}

func connectTo(t *testing.T, host string) *docker.Engine {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	engine, err := docker.Connect(ctx, docker.Options{Host: host})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	return engine
}

// overSSH runs a server of the test's own, whom nobody but the test has the key of, and returns its address as DOCKER_HOST
// takes it, without a path.
func overSSH(t *testing.T) string {
	t.Helper()
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		if sshd, err = exec.LookPath("/usr/sbin/sshd"); err != nil {
			t.Skip("there is no sshd")
		}
	}
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		t.Skip("there is no ssh")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, key := range []string{"host", "user"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	port := freePort(t)
	config := write("sshd_config", fmt.Sprintf(`
ListenAddress 127.0.0.1:%d
HostKey %s/host
AuthorizedKeysFile %[2]s/user.pub
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
PidFile none
`, port, dir), 0o600)
	const separation = "/run/sshd" // where sshd, as root, wants an empty directory
	if err := os.Mkdir(separation, 0o755); err == nil {
		t.Cleanup(func() { _ = os.Remove(separation) })
	}
	server := exec.Command(sshd, "-D", "-e", "-f", config)
	var said strings.Builder
	server.Stderr = &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	write("ssh", fmt.Sprintf("#!/bin/sh\nexec %s -F none -i %s/user -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \"$@\"\n", ssh, dir), 0o755)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	networktest.Eventually(t, 30*time.Second, func() string {
		if out, err := exec.Command(filepath.Join(dir, "ssh"), "-p", fmt.Sprint(port), me.Username+"@127.0.0.1", "true").CombinedOutput(); err != nil {
			return string(out)
		}
		return ""
	})
	return fmt.Sprintf("ssh://%s@127.0.0.1:%d", me.Username, port)
}

// testOverSSH sees that everything that crosses the border between here and there does. It asks little: a process of ssh
// per question takes a second.
func testOverSSH(t *testing.T, o networktest.Options) {
	c := networktest.Start(t, o)
	one := c.Serve("one")
	port := freePort(t)
	c.Service(webService(c, "web", 20, port))
	c.Slice("default", "web", []networktest.Port{httpPort, udpPort}, networktest.Endpoint{IP: one.IP.String()})
	networktest.Eventually(t, 30*time.Second, func() string {
		if got := httpGet(fmt.Sprintf("http://127.0.0.1:%d/", port)); !strings.HasPrefix(got, "one") {
			return got
		}
		return ""
	})
	if c.Network.Status().Direct {
		t.Error("pods' addresses are dialled, which can't be those of this engine's pods")
	}
	conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(conn, "hello")
	buf := make([]byte, 100)
	if n, err := conn.Read(buf); err != nil || string(buf[:n]) != "one hello" {
		t.Errorf("UDP node port: %q, %v", buf[:n], err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			io.WriteString(conn, "hello from the API")
			conn.Close()
		}
	}()
	c.Network.SetAPIPort(l.Addr().(*net.TCPAddr).Port)
	expect(t, "API", one.Probe("api", c.ServiceIP(1)+":443"), "hello from the API")
	expect(t, "through its own Service", one.Probe("get", "http://"+c.ServiceIP(20)+"/"), "one")
}

// testEngineDies kills the engine under a cluster: inside, Services and DNS go on without it, and on localhost once it is
// back.
func testEngineDies(t *testing.T, private *privateengine.Engine) {
	c := networktest.Start(t, networktest.Options{Engine: connectTo(t, private.TCP())})
	one := c.Serve("one")
	port := freePort(t)
	c.Service(webService(c, "web", 20, port))
	c.Slice("default", "web", []networktest.Port{httpPort, udpPort}, networktest.Endpoint{IP: one.IP.String()})
	url := fmt.Sprintf("http://127.0.0.1:%d/", port)
	answers := func() string {
		if got := httpGet(url); !strings.HasPrefix(got, "one") {
			return got
		}
		return ""
	}
	networktest.Eventually(t, networktest.Patience, answers)
	// From the engine's host, where the cluster's network is a neighbour like any other.
	inside := func() string {
		return private.Run("bash", "-c", fmt.Sprintf(`exec 3<>/dev/tcp/%s/80 && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && cat <&3`, c.ServiceIP(20)))
	}
	private.Kill()
	for range 3 {
		if got := inside(); !strings.Contains(got, "one from") {
			t.Errorf("without the engine, through the ClusterIP: %q", got)
		}
	}
	private.Up()
	networktest.Eventually(t, 30*time.Second, answers)

	// And the relay, which nobody can start while the engine is away.
	if err := c.Engine.KillContainer(t.Context(), docker.RelayName(c.Profile), "KILL"); err != nil {
		t.Fatal(err)
	}
	private.Down()
	private.Up()
	networktest.Eventually(t, 30*time.Second, answers)
	if got := inside(); !strings.Contains(got, "one from") {
		t.Errorf("after the restart, through the ClusterIP: %q", got)
	}
}
