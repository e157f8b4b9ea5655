// Package hello is the demo web server of skiff's examples: a page that says which version answered and from which pod,
// so that a rollout, a balanced Service or a restart can be seen with the eye or with curl.
package hello

import (
	"context"
	"flag"
	"fmt"
	"html"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// An App answers the demo's three paths: / (the page), /healthz and /version.
type App struct {
	Version string // shown on the page and at /version
	Color   string // CSS colour of the page
	Pod     string // pod name, or the hostname outside a pod
	Node    string
	started time.Time
	served  atomic.Int64
}

// Main runs the server until SIGTERM or SIGINT and returns the exit code. Flags win over the environment: PORT,
// HELLO_VERSION, HELLO_COLOR, and POD_NAME and NODE_NAME as the downward API usually names them.
func Main(args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	hostname, _ := os.Hostname()
	flags := flag.NewFlagSet("hello", flag.ContinueOnError)
	flags.SetOutput(stderr)
	app := &App{started: time.Now()}
	flags.StringVar(&app.Version, "version", first(getenv("HELLO_VERSION"), "1.0"), "version shown on the page (HELLO_VERSION)")
	flags.StringVar(&app.Color, "color", getenv("HELLO_COLOR"), "CSS colour of the page, by version when empty (HELLO_COLOR)")
	flags.StringVar(&app.Pod, "pod", first(getenv("POD_NAME"), hostname), "pod name shown on the page (POD_NAME)")
	flags.StringVar(&app.Node, "node", getenv("NODE_NAME"), "node name shown on the page (NODE_NAME)")
	port := flags.String("port", first(getenv("PORT"), "8080"), "port to listen on (PORT)")
	drain := flags.Duration("drain", 5*time.Second, "how long open requests may take after SIGTERM; 0s leaves at once")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if app.Color == "" {
		app.Color = colorOf(app.Version)
	}
	var listener *net.TCPListener
	addr, err := net.ResolveTCPAddr("tcp", ":"+*port)
	if err == nil {
		listener, err = net.ListenTCP("tcp", addr)
	}
	if err != nil {
		fmt.Fprintf(stderr, "hello: listen on port %s: %v\n", *port, err)
		return 1
	}
	fmt.Fprintf(stdout, "hello %s on %s, port %s\n", app.Version, app.Pod, *port)

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	server := &server{handle: app.respond, log: stdout}
	if err := server.serve(ctx, listener, *drain); err != nil {
		fmt.Fprintf(stderr, "hello: serve: %v\n", err)
		return 1
	}
	fmt.Fprintln(stdout, "hello: stopped")
	return 0
}

// respond answers one request.
func (a *App) respond(path string) response {
	switch path {
	case "/healthz", "/readyz":
		return response{status: "200 OK", contentType: "text/plain; charset=utf-8", body: "ok\n"}
	case "/version":
		return response{status: "200 OK", contentType: "text/plain; charset=utf-8", body: a.Version + "\n"}
	case "/hostname":
		return response{status: "200 OK", contentType: "text/plain; charset=utf-8", body: a.Pod + "\n"}
	case "/":
		a.served.Add(1)
		return response{status: "200 OK", contentType: "text/html; charset=utf-8", body: a.page()}
	}
	return response{status: "404 Not Found", contentType: "text/plain; charset=utf-8", body: "404: there is nothing at " + path + "\n"}
}

func (a *App) page() string {
	var rows strings.Builder
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&rows, "<dt>%s</dt><dd>%s</dd>", name, html.EscapeString(value))
		}
	}
	row("pod", a.Pod)
	row("node", a.Node)
	row("up", time.Since(a.started).Round(time.Second).String())
	row("pages served", fmt.Sprint(a.served.Load()))
	return strings.NewReplacer(
		"{{version}}", html.EscapeString(a.Version),
		"{{color}}", html.EscapeString(a.Color),
		"{{rows}}", rows.String(),
	).Replace(pageTemplate)
}

// colorOf gives each major version a colour of its own, so that two versions are told apart at a glance.
func colorOf(version string) string {
	colors := []string{"#0b7285", "#1864ab", "#862e9c", "#c92a2a", "#d9480f", "#2b8a3e"}
	sum := 0
	for _, r := range strings.SplitN(version, ".", 2)[0] {
		sum += int(r)
	}
	return colors[sum%len(colors)]
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
