// Package client is how every verb reaches the daemon of a profile: it starts one when none runs, waits for it, and
// carries requests to it. It exists so that verbs need not know how the daemon is found, started or spoken to.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"skiff.local/skiff/local/profile"
)

// Cluster is a running daemon and the key to it.
type Cluster struct {
	// Started is true when this process had to start the daemon.
	Started bool
	// Daemon is what the daemon wrote about itself.
	Daemon profile.Daemon

	profile *profile.Profile
	creds   profile.Credentials
	http    *http.Client
}

// Connect returns the profile's running daemon, or a Failure with ReasonNotRunning. It does not check that the API is
// ready; a daemon that is still starting makes it fail with ReasonNotRunning too.
func Connect(p *profile.Profile) (*Cluster, error) {
	notRunning := &Failure{
		Reason:  ReasonNotRunning,
		Message: fmt.Sprintf("skiff is not running (profile %q)", p.Name),
		Hint:    startHint(p),
	}
	if !p.Running() {
		return nil, notRunning
	}
	daemon, ok, err := p.ReadDaemon()
	if err != nil {
		return nil, err
	}
	if !ok {
		notRunning.Message = fmt.Sprintf("skiff is starting (profile %q)", p.Name)
		notRunning.Hint = "try again in a moment"
		return nil, notRunning
	}
	creds, err := p.ReadCredentials()
	if err != nil {
		return nil, err
	}
	c := &Cluster{Daemon: daemon, profile: p, creds: creds}
	if c.http, err = rest.HTTPClientFor(c.RESTConfig()); err != nil {
		return nil, fmt.Errorf("reach the daemon: %w", err)
	}
	return c, nil
}

func startHint(p *profile.Profile) string {
	if p.Name == profile.DefaultName {
		return "run `skiff start`"
	}
	return "run `skiff start -p " + p.Name + "`"
}

// RESTConfig returns a new client configuration with the rights of the cluster's administrator.
func (c *Cluster) RESTConfig() *rest.Config {
	return &rest.Config{
		Host: c.creds.Server,
		TLSClientConfig: rest.TLSClientConfig{
			CAData: c.creds.CACert, CertData: c.creds.ClientCert, KeyData: c.creds.ClientKey,
		},
		QPS: -1,
	}
}

// Credentials are what the user's kubeconfig is given.
func (c *Cluster) Credentials() profile.Credentials { return c.creds }

// Status asks the daemon how it is.
func (c *Cluster) Status(ctx context.Context) (Status, error) {
	var s Status
	return s, c.call(ctx, http.MethodGet, "status", nil, &s)
}

// answers fails when the daemon does not answer.
func (c *Cluster) answers(ctx context.Context) error {
	_, err := c.Status(ctx)
	return err
}

// Ready waits until the cluster's DNS answers, as long as ctx allows.
func (c *Cluster) Ready(ctx context.Context) error {
	return c.call(ctx, http.MethodGet, "ready", nil, nil)
}

// Stop ends the daemon and returns when its process is gone.
func (c *Cluster) Stop(ctx context.Context, r StopRequest) error {
	if err := c.call(ctx, http.MethodPost, "stop", r, nil); err != nil {
		return err
	}
	return waitFor(ctx, 10*time.Millisecond, func() (bool, error) { return !c.profile.Running(), nil })
}

// Call sends one request to the daemon: path is below ControlPath, in and out are JSON or nil.
func (c *Cluster) Call(ctx context.Context, method, path string, in, out any) error {
	return c.call(ctx, method, path, in, out)
}

func (c *Cluster) call(ctx context.Context, method, path string, in, out any) error {
	body, err := c.Stream(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, body)
	} else {
		err = json.NewDecoder(body).Decode(out)
	}
	if err != nil {
		return fmt.Errorf("read the daemon's answer to %s: %w", path, err)
	}
	return nil
}

// Stream is Call for answers that come piece by piece. The caller closes the body.
func (c *Cluster) Stream(ctx context.Context, method, path string, in any) (io.ReadCloser, error) {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("send %s to the daemon: %w", path, err)
		}
		body = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.creds.Server, "/")+ControlPath+path, body)
	if err != nil {
		return nil, fmt.Errorf("send %s to the daemon: %w", path, err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, &Failure{
			Reason:  ReasonNotRunning,
			Message: fmt.Sprintf("the daemon of profile %q does not answer: %v", c.profile.Name, err),
			Hint:    fmt.Sprintf("look at %s, then `skiff stop --force` and `skiff start`", c.profile.LogPath()),
		}
	}
	if response.StatusCode < 300 {
		return response.Body, nil
	}
	defer response.Body.Close()
	raw, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	failure := &Failure{}
	if json.Unmarshal(raw, failure) == nil && failure.Message != "" && failure.Reason != "" {
		return nil, failure
	}
	return nil, &Failure{Reason: ReasonInternal, Message: fmt.Sprintf("the daemon answered %s to %s: %s", response.Status, path, bytes.TrimSpace(raw))}
}

// waitFor calls done every interval until it is true, fails, or ctx ends.
func waitFor(ctx context.Context, interval time.Duration, done func() (bool, error)) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// AsFailure finds the Failure in err's chain; nil when there is none.
func AsFailure(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	return nil
}
