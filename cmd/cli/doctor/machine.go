package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/local/client"
)

func checkHome(_ context.Context, p *patient) []Finding {
	home := filepath.Dir(p.profile.Dir)
	// The nearest folder that exists decides whether the rest can be made.
	dir := home
	for {
		if _, err := os.Stat(dir); err == nil || filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	probe, err := os.CreateTemp(dir, ".skiff-doctor-*")
	if err != nil {
		return []Finding{{Level: Bad, Message: fmt.Sprintf("%s can't be written: %v", home, err), Cure: "set SKIFF_HOME to a folder you can write to", code: exit.Home}}
	}
	_ = probe.Close()
	_ = os.Remove(probe.Name())
	if _, _, err := p.profile.ReadSettings(); err != nil {
		return []Finding{{Level: Bad, Message: err.Error(), Cure: p.env.Command("delete"), code: exit.Home}}
	}
	return one(Good, "", "%s can be written", home)
}

// Chosen: what a few image layers and the state of a busy cluster need.
const (
	diskLow  = 2 << 30
	diskFull = 200 << 20
)

func checkDisk(_ context.Context, p *patient) []Finding {
	var found []Finding
	look := func(what, path, cure string) {
		free, ok := freeBytes(path)
		if !ok {
			return
		}
		level := Good
		switch {
		case free < diskFull:
			level = Bad
		case free < diskLow:
			level = Notice
		}
		if level == Good {
			cure = ""
		}
		found = append(found, Finding{Level: level, Message: fmt.Sprintf("%.1f GB free for %s (%s)", float64(free)/1e9, what, path), Cure: cure})
	}
	home := filepath.Dir(p.profile.Dir)
	if _, err := os.Stat(home); err != nil {
		home = filepath.Dir(home)
	}
	look("skiff's state", home, "free some space, or set SKIFF_HOME to another disk")
	if p.engine != nil && p.engine.Local() && p.info.RootDir != "" {
		look("the engine", p.info.RootDir, "docker system prune")
	}
	if len(found) == 0 {
		return one(Skipped, "", "this system does not tell")
	}
	return found
}

// checkPorts tries the ports that Ingress would like. A profile that runs may hold them itself.
func checkPorts(_ context.Context, p *patient) []Finding {
	if p.profile.Running() {
		return one(Skipped, "", "the daemon runs: skiff status shows what it listens on")
	}
	var denied, taken []string
	for _, port := range []int{80, 443} {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		switch {
		case err == nil:
			_ = l.Close()
		case errors.Is(err, os.ErrPermission):
			denied = append(denied, strconv.Itoa(port))
		default:
			taken = append(taken, strconv.Itoa(port))
		}
	}
	var found []Finding
	if len(taken) > 0 {
		found = append(found, one(Notice, "stop what listens there, if you want them", "taken on 127.0.0.1: %s; Ingresses will answer on other ports, which skiff status shows", strings.Join(taken, " and "))...)
	}
	if len(denied) > 0 {
		found = append(found, one(Notice, "sudo sysctl net.ipv4.ip_unprivileged_port_start=80", "port %s needs more rights than you have: Ingress will use another, which skiff status shows", strings.Join(denied, " and "))...)
	}
	if settings, ok, err := p.profile.ReadSettings(); err == nil && ok && settings.APIPort != 0 {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(settings.APIPort)))
		if err != nil {
			found = append(found, Finding{Level: Bad, Message: fmt.Sprintf("the API's port %d is taken", settings.APIPort), Cure: p.env.Command("start --api-port ANOTHER"), code: exit.PortInUse})
		} else {
			_ = l.Close()
		}
	}
	if len(found) == 0 {
		return one(Good, "", "80 and 443 are free for Ingress")
	}
	return found
}

// clockSkew is how far the engine's clock may be off before logs and certificates of pods confuse. Chosen.
const clockSkew = 5 * time.Second

func checkClock(_ context.Context, p *patient) []Finding {
	now := time.Now()
	if now.Year() < 2024 {
		return one(Bad, "set the clock: certificates will not be valid", "this machine says it is %s", now.Format(time.RFC1123))
	}
	if p.info != nil && !p.info.Time.IsZero() {
		if skew := p.info.Time.Sub(p.asked); skew.Abs() > clockSkew {
			return one(Notice, "restart the engine's machine (Docker Desktop: restart it), or set its clock", "the engine's clock is %s off this machine's", skew.Round(time.Second))
		}
	}
	return one(Good, "", "%s", now.Format(time.RFC1123))
}

func checkKubeconfig(_ context.Context, p *patient) []Finding {
	options := clientcmd.NewDefaultPathOptions()
	path := options.GetDefaultFilename()
	config, err := options.GetStartingConfig()
	if err != nil {
		return one(Bad, "repair the file, or set KUBECONFIG to another", "%s can't be read: %v", path, err)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		return one(Notice, "chmod 600 "+path, "%s can be read by others, and holds keys", path)
	}
	if p.profile.Exists() && config.Contexts[p.profile.Context()] == nil {
		return one(Notice, p.env.Command("update-context"), "%s has no context %q", path, p.profile.Context())
	}
	return one(Good, "", "%s, current context %q", path, config.CurrentContext)
}

// checkPrograms asks the daemon's program for its version: the two are installed together and may be torn apart.
func checkPrograms(ctx context.Context, p *patient) []Finding {
	program, err := client.Program()
	if err != nil {
		code, message, hint := exit.Of(err)
		return []Finding{{Level: Bad, Message: message, Cure: hint, code: code}}
	}
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	version := strings.TrimSpace(string(out))
	switch {
	case err != nil:
		return []Finding{{Level: Bad, Message: fmt.Sprintf("%s does not run: %v", program, err), Cure: "install skiff again", code: exit.Program}}
	case !client.BelongTogether(p.env.Version, version):
		return []Finding{{Level: Bad, Message: fmt.Sprintf("skiff is %s, and %s is %s", p.env.Version, program, version), Cure: "install both again", code: exit.Program}}
	}
	return one(Good, "", "skiff and %s are %s", program, version)
}

func checkDaemon(ctx context.Context, p *patient) []Finding {
	c, err := client.Connect(p.profile)
	if err != nil {
		if f := client.AsFailure(err); f != nil && f.Reason == client.ReasonNotRunning {
			return one(Good, "", "not running")
		}
		return one(Bad, p.env.Command("stop --force"), "%v", err)
	}
	status, err := c.Status(ctx)
	if err != nil {
		return one(Bad, p.env.Command("stop --force"), "%v", err)
	}
	if status.Versions.Skiff != p.env.Version {
		return one(Notice, p.env.Command("stop --keep-pods")+" && "+p.env.Command("start"), "the daemon is %s and this is %s", status.Versions.Skiff, p.env.Version)
	}
	if n := len(status.Problems); n > 0 {
		return one(Notice, p.env.Command("status"), "it runs, and reports %d things that are not well", n)
	}
	return one(Good, "", "pid %d, version %s", c.Daemon.PID, status.Versions.Skiff)
}
