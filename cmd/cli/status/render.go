package status

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/iostreams"
	"skiff.local/skiff/local/client"
)

// render writes the screen. What is well is one line each; what is not well comes last, where the eye ends up.
func render(w io.Writer, s client.Status, e *env.Env, now time.Time) {
	c := e.IO.Colours()
	fmt.Fprintf(w, "%s  profile %s, context %s\n", headline(s, c), s.Profile, s.Context)
	if !s.Running {
		stopped(w, s.Left, c, e)
		return
	}
	fmt.Fprintln(w)
	rows := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(ok bool, name, text string) {
		mark := c.Green("✓")
		if !ok {
			mark = c.Red("✗")
		}
		fmt.Fprintf(rows, "%s %s\t%s\n", mark, name, text)
	}
	if d := s.Daemon; d != nil {
		text := fmt.Sprintf("pid %d, up %s", d.PID, short(now.Sub(d.Started)))
		if d.RSS > 0 {
			text += fmt.Sprintf(", %d MB", d.RSS/1e6)
		}
		row(true, "daemon", text+", skiff "+s.Versions.Skiff)
	}
	row(s.API.Ready, "API", s.API.URL+", Kubernetes "+s.Versions.Kubernetes)
	row(s.Engine.Ready, "engine", engine(s))
	row(s.Network.DNS, "network", network(s.Network))
	row(true, "store", fmt.Sprintf("%d objects, %.1f MB", s.Store.Objects, float64(s.Store.Bytes)/1e6))
	row(s.Pods.Ready+s.Pods.Completed >= s.Pods.Total, "pods", pods(s.Pods))
	_ = rows.Flush()

	services(w, s.Services, c)
	sets(w, s.Sets, c, now)
	problems(w, s.Problems, c)
}

// stopped says what a cluster without a daemon has left, and how it goes on.
func stopped(w io.Writer, left *client.LeftContainers, c iostreams.Colours, e *env.Env) {
	switch {
	case left != nil && left.Paused > 0:
		fmt.Fprintf(w, "\n%s. Go on with: %s\n", env.Count(left.Paused, "container is frozen", "containers are frozen"), c.Cyan(e.Command("resume")))
	case left != nil && left.Running > 0:
		fmt.Fprintf(w, "\n%s on without the daemon. Start it with: %s   or stop them with: %s\n",
			env.Count(left.Running, "container runs", "containers run"), c.Cyan(e.Command("start")), c.Cyan(e.Command("stop")))
	default:
		fmt.Fprintf(w, "\nStart it with: %s\n", c.Cyan(e.Command("start")))
	}
}

func headline(s client.Status, c iostreams.Colours) string {
	switch {
	case s.Left != nil && s.Left.Paused > 0:
		return c.Bold(c.Yellow("skiff is paused"))
	case !s.Running:
		return c.Bold("skiff is not running")
	case len(s.Problems) > 0:
		return c.Bold(c.Yellow("skiff runs, and something is not well"))
	}
	return c.Bold(c.Green("skiff is well"))
}

func engine(s client.Status) string {
	if s.Engine.Error != "" {
		return s.Engine.Error
	}
	text := "Docker " + s.Versions.Engine
	if s.Versions.EngineAPI != "" {
		text += " (API " + s.Versions.EngineAPI + ")"
	}
	if s.Engine.Host != "" {
		text += " at " + s.Engine.Host
	}
	if s.Engine.Rootless {
		text += ", rootless"
	}
	if len(s.Engine.Unlimited) > 0 {
		text += ", limits not enforced: " + strings.Join(s.Engine.Unlimited, ", ")
	}
	return text
}

func network(n client.NetworkStatus) string {
	parts := []string{n.Subnet.String()}
	if n.Relay != "" {
		parts = append(parts, "relay "+n.Relay)
	}
	if n.DNS {
		parts = append(parts, "DNS answers")
	} else {
		parts = append(parts, "DNS does not answer")
	}
	if n.HTTP != 0 && n.HTTP != 80 || n.HTTPS != 0 && n.HTTPS != 443 {
		parts = append(parts, fmt.Sprintf("Ingresses on ports %d and %d", n.HTTP, n.HTTPS))
	}
	return strings.Join(parts, ", ")
}

func pods(p client.PodCounts) string {
	text := fmt.Sprintf("%d of %d ready", p.Ready, p.Total-p.Completed)
	if p.Completed > 0 {
		text += fmt.Sprintf(", %d completed", p.Completed)
	}
	return text
}

func services(w io.Writer, list []client.ServiceStatus, c iostreams.Colours) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", c.Bold("On localhost"))
	rows := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range list {
		where := strings.Join(s.URLs, " ")
		if s.Problem != "" {
			where = strings.TrimSpace(where + "  " + s.Problem)
		}
		fmt.Fprintf(rows, "  %s/%s\t%s\t%s\n", s.Namespace, s.Name, s.Type, where)
	}
	_ = rows.Flush()
}

func sets(w io.Writer, list []client.SetStatus, c iostreams.Colours, now time.Time) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", c.Bold("Watched"))
	rows := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range list {
		state := fmt.Sprintf("%d objects", s.Objects)
		if s.Objects == 1 {
			state = "1 object"
		}
		if !s.Synced.IsZero() {
			state += ", synced " + short(now.Sub(s.Synced)) + " ago"
		}
		fmt.Fprintf(rows, "  %s\t%s\t%s\n", s.Name, strings.Join(s.Sources, " "), state)
	}
	_ = rows.Flush()
	for _, s := range list {
		for _, line := range s.Errors {
			fmt.Fprintf(w, "  %s %s: %s\n", c.Red("✗"), s.Name, line)
		}
	}
}

// short writes an age in its largest unit or two: 12s, 4m10s, 3h5m, 2d4h.
func short(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}
