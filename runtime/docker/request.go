package docker

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errhttp"
	"github.com/docker/docker/client"
)

// target is the URL of a request that is not made through the SDK: connections that are taken over, and streams whose
// beginning must be seen.
func (e *Engine) target(path string, query url.Values) string {
	u := url.URL{Scheme: "http", Host: client.DummyHost, Path: "/v" + e.APIVersion() + path, RawQuery: query.Encode()}
	if host, err := client.ParseHostURL(e.cli.DaemonHost()); err == nil {
		u.Path = strings.TrimSuffix(host.Path, "/") + u.Path
		if host.Scheme != "unix" && host.Scheme != "npipe" {
			u.Host = host.Host
		}
	}
	if e.tls {
		u.Scheme = "https"
	}
	return u.String()
}

// refusal is what the engine answered to such a request.
type refusal struct {
	text string
	kind error
}

func (r refusal) Error() string { return r.text }
func (r refusal) Unwrap() error { return r.kind }

// refused reads the answer and closes it.
func refused(resp *http.Response) error {
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var message struct{ Message string }
	if json.Unmarshal(text, &message) != nil || message.Message == "" {
		message.Message = strings.TrimSpace(string(text))
	}
	if message.Message == "" {
		message.Message = resp.Status
	}
	return refusal{text: message.Message, kind: kindOf(resp.StatusCode)}
}

// kindOf turns an HTTP status into the class of error that the SDK would have made of it.
func kindOf(status int) error {
	if kind := errhttp.ToNative(status); kind != nil {
		return kind
	}
	return cerrdefs.ErrUnknown
}
