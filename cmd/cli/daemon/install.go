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

	"github.com/spf13/cobra"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/profile"
)

// service is the daemon as the user's own service manager knows it.
type service struct {
	path     string // of the unit or property list
	content  string
	enable   [][]string // commands
	disable  [][]string
	describe string
}

func newInstallCmd(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "install",
		Short: "Start the cluster with your session, as a service of yours",
		Long: `Register the profile's daemon with systemd --user (Linux) or launchd (macOS), so that it starts when you log in and
comes back when it fails. It is optional: every verb that needs the daemon starts it.`,
		Example: "  skiff daemon install",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := describe(e)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Dir(s.path), 0o755); err != nil {
				return fmt.Errorf("install the service: %w", err)
			}
			if err := os.WriteFile(s.path, []byte(s.content), 0o644); err != nil {
				return fmt.Errorf("install the service: %w", err)
			}
			if err := all(c.Context(), s.enable); err != nil {
				_ = os.Remove(s.path)
				return exit.With(exit.General, fmt.Errorf("install the service: %w", err), "a service needs a session of yours; skiff works without")
			}
			fmt.Fprintf(e.IO.Out, "%s runs the daemon from now on (%s)\n", s.describe, s.path)
			return nil
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
			s, err := describe(e)
			if err != nil {
				return err
			}
			if _, err := os.Stat(s.path); errors.Is(err, fs.ErrNotExist) {
				fmt.Fprintln(e.IO.ErrOut, "no service is installed")
				return nil
			}
			_ = all(c.Context(), s.disable) // it may not be loaded
			if err := os.Remove(s.path); err != nil {
				return fmt.Errorf("remove the service: %w", err)
			}
			fmt.Fprintf(e.IO.Out, "removed %s\n", s.path)
			return nil
		},
	}
}

func describe(e *env.Env) (service, error) {
	p, err := e.Profile()
	if err != nil {
		return service{}, err
	}
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
# Pods are containers of the engine; ending the daemon must not end them.
KillMode=process
StandardOutput=null
StandardError=append:%s

[Install]
WantedBy=default.target
`, p.Name, systemdQuote(program), p.Name, systemdQuote(profile.EnvHome+"="+filepath.Dir(p.Dir)), p.LogPath()),
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
