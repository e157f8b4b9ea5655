package daemon

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/wait"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/cmd/cli/stop"
	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/profile"
)

// service is the daemon as the user's own service manager knows it.
type service struct {
	path     string // of the unit or property list
	content  string
	ask      [][]string // commands: does the service manager answer?
	enable   [][]string
	disable  [][]string
	describe string
}

func newInstallCmd(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "install",
		Short: "Start the cluster with your session, as a service of yours",
		Long: `Register the profile's daemon with systemd --user (Linux) or launchd (macOS), so that it starts when you log in and
comes back when it fails. A daemon that runs already makes room for it, and pods run on. It is optional: every verb that needs
the daemon starts it. skiff delete takes the service back, too.`,
		Example: "  skiff daemon install",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := env.Interruptible(c.Context())
			defer cancel()
			return install(ctx, e)
		},
	}
}

func newUninstallCmd(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use:     "uninstall",
		Short:   "Take the service back; the cluster stays",
		Example: "  skiff daemon uninstall",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := e.Profile()
			if err != nil {
				return err
			}
			path, err := Uninstall(c.Context(), p)
			switch {
			case err != nil:
				return err
			case path == "":
				fmt.Fprintf(e.IO.ErrOut, "no service is installed (profile %q)\n", p.Name)
			default:
				fmt.Fprintf(e.IO.Out, "removed %s; pods run on, and %s brings the daemon back\n", path, e.Command("start"))
			}
			return nil
		},
	}
}

// takeOver bounds the end of the daemon that runs already, and the start of the service's. Chosen.
const takeOver = 30 * time.Second

func install(ctx context.Context, e *env.Env) error {
	p, err := e.Profile()
	if err != nil {
		return err
	}
	s, err := describe(p)
	if err != nil {
		return err
	}
	if err := all(ctx, s.ask); err != nil {
		return exit.With(exit.General, fmt.Errorf("install the service: %s does not answer: %w", s.describe, err),
			"it needs a login session of yours; skiff works without a service: every verb that needs the daemon starts it")
	}
	if err := p.MakeDir(); err != nil { // the log lies there
		return exit.With(exit.Home, err, "")
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o755); err != nil {
		return fmt.Errorf("install the service: %w", err)
	}
	if err := os.WriteFile(s.path, []byte(s.content), 0o644); err != nil {
		return fmt.Errorf("install the service: %w", err)
	}
	// There is one daemon for each profile: one that a verb started makes room, and its pods run on.
	if _, err := stop.Stop(ctx, p, client.StopRequest{KeepPods: true}, false, takeOver); err != nil {
		return err
	}
	if err := all(ctx, s.enable); err != nil {
		_ = os.Remove(s.path)
		return exit.With(exit.General, fmt.Errorf("install the service: %w", err), "skiff works without: every verb that needs the daemon starts it")
	}
	// Until the daemon can be asked: the next command should not find it not running.
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, takeOver, true, func(context.Context) (bool, error) {
		_, err := client.Connect(p)
		return err == nil, nil
	})
	if err != nil && ctx.Err() == nil {
		err = exit.With(exit.Timeout, fmt.Errorf("the service is installed (%s), but its daemon does not answer after %s", s.path, takeOver), "look at "+p.LogPath())
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(e.IO.Out, "%s runs the daemon from now on (%s)\n", s.describe, s.path)
	return nil
}

// Uninstall takes the service of a profile back and returns where it was described; empty when there was none.
func Uninstall(ctx context.Context, p *profile.Profile) (path string, err error) {
	s, err := describe(p)
	if err != nil {
		return "", nil // there are no services here
	}
	if _, err := os.Stat(s.path); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	_ = all(ctx, s.disable) // it may not be loaded
	if err := os.Remove(s.path); err != nil {
		return "", fmt.Errorf("remove the service: %w", err)
	}
	return s.path, nil
}

func describe(p *profile.Profile) (service, error) {
	program, err := client.Program()
	if err != nil {
		return service{}, err
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return service{}, fmt.Errorf("find the home directory: %w", err)
	}
	switch runtime.GOOS {
	case "linux":
		config := os.Getenv("XDG_CONFIG_HOME")
		if config == "" {
			config = filepath.Join(home, ".config")
		}
		return systemd(p, program, config), nil
	case "darwin":
		return launchd(p, program, home), nil
	}
	return service{}, exit.With(exit.General, fmt.Errorf("skiff can't be a service on %s", runtime.GOOS), "every verb that needs the daemon starts it")
}

func systemd(p *profile.Profile, program, config string) service {
	unit := p.Context() + ".service"
	return service{
		path:     filepath.Join(config, "systemd", "user", unit),
		describe: "systemd --user",
		content: fmt.Sprintf(`[Unit]
Description=skiff, a local Kubernetes (profile %s)

[Service]
ExecStart=%s --profile %s
Environment=%s
Restart=on-failure
RestartSec=2
# What does not pass by itself: wrong arguments, an unusable folder, another daemon of the profile, another release.
RestartPreventExitStatus=%d %d %d %d
# Pods are containers of the engine; ending the daemon must not end them.
KillMode=process
StandardOutput=null
StandardError=append:%s

[Install]
WantedBy=default.target
`, p.Name, systemdQuote(program), p.Name, systemdQuote(profile.EnvHome+"="+filepath.Dir(p.Dir)), exit.Usage, exit.Home, exit.AlreadyRunning, exit.Program,
			strings.ReplaceAll(p.LogPath(), "%", "%%")),
		ask:     [][]string{{"systemctl", "--user", "show", "--property=Version"}},
		enable:  [][]string{{"systemctl", "--user", "daemon-reload"}, {"systemctl", "--user", "enable", "--now", unit}},
		disable: [][]string{{"systemctl", "--user", "disable", "--now", unit}},
	}
}

// systemdQuote follows systemd.service(5): quotes group words, and % and \ are special everywhere.
func systemdQuote(s string) string {
	s = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`).Replace(s)
	return `"` + s + `"`
}

func launchd(p *profile.Profile, program, home string) service {
	label := "local.skiff." + p.Name
	path := filepath.Join(home, "Library", "LaunchAgents", label+".plist")
	return service{
		path:     path,
		describe: "launchd",
		content: fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
  <key>Label</key><string>%s</string>
  <key>ProgramArguments</key><array>
    <string>%s</string><string>--profile</string><string>%s</string>
  </array>
  <key>EnvironmentVariables</key><dict><key>%s</key><string>%s</string></dict>
  <key>RunAtLoad</key><true/>
  <key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>
  <key>AbandonProcessGroup</key><true/>
  <key>StandardErrorPath</key><string>%s</string>
</dict></plist>
`, escape(label), escape(program), escape(p.Name), profile.EnvHome, escape(filepath.Dir(p.Dir)), escape(p.LogPath())),
		ask:     [][]string{{"launchctl", "version"}},
		enable:  [][]string{{"launchctl", "load", "-w", path}},
		disable: [][]string{{"launchctl", "unload", "-w", path}},
	}
}

func escape(s string) string {
	b := &strings.Builder{}
	_ = xml.EscapeText(b, []byte(s))
	return b.String()
}

func all(ctx context.Context, commands [][]string) error {
	for _, c := range commands {
		if out, err := exec.CommandContext(ctx, c[0], c[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(c, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}
