package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"skiff.local/skiff/local/client"
	"skiff.local/skiff/watch"
)

// requestLimit bounds a request's body. Chosen: a set's list of sources is the longest there is.
const requestLimit = 1 << 20

// control serves what verbs ask of the daemon itself, below client.ControlPath. The API server in front of it has
// checked that the caller is the cluster's administrator.
func (d *daemon) control() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, serve func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			answer, err := serve(r)
			reply(w, answer, err)
		})
	}
	handle("GET "+client.ControlPath+"status", func(r *http.Request) (any, error) { return d.status(r.Context()), nil })
	handle("GET "+client.ControlPath+"ready", func(r *http.Request) (any, error) { return nil, d.awaitReady(r.Context()) })
	handle("POST "+client.ControlPath+"stop", func(r *http.Request) (any, error) {
		var request client.StopRequest
		if err := decode(r, &request); err != nil {
			return nil, err
		}
		return nil, d.stopWorkloads(r.Context(), request)
	})
	handle("GET "+client.ControlPath+"pods/{namespace}/{name}/why", func(r *http.Request) (any, error) {
		return d.why(r.Context(), r.PathValue("namespace"), r.PathValue("name"))
	})
	handle("GET "+client.ControlPath+"sets", func(*http.Request) (any, error) { return d.sets.status(), nil })
	handle("POST "+client.ControlPath+"sets", func(r *http.Request) (any, error) {
		var definition watch.Definition
		if err := decode(r, &definition); err != nil {
			return nil, err
		}
		return d.sets.add(definition)
	})
	handle("DELETE "+client.ControlPath+"sets", func(r *http.Request) (any, error) {
		var spec client.SetSpec
		if err := decode(r, &spec); err != nil {
			return nil, err
		}
		return d.sets.remove(spec)
	})
	return mux
}

func decode(r *http.Request, into any) error {
	raw, err := io.ReadAll(io.LimitReader(r.Body, requestLimit))
	if err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	if len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return &client.Failure{Reason: client.ReasonInvalid, Message: "the request is no JSON: " + err.Error()}
	}
	return nil
}

// reply writes the answer, or the error as a client.Failure.
func reply(w http.ResponseWriter, answer any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		f := client.AsFailure(err)
		if f == nil {
			f = &client.Failure{Reason: client.ReasonInternal, Message: err.Error()}
		}
		if errors.Is(err, context.DeadlineExceeded) {
			f.Reason = client.ReasonTimeout
		}
		w.WriteHeader(statusCode(err, f))
		_ = json.NewEncoder(w).Encode(f)
		return
	}
	if answer == nil {
		w.WriteHeader(http.StatusOK)
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func statusCode(err error, f *client.Failure) int {
	switch {
	case apierrors.IsNotFound(err):
		return http.StatusNotFound
	case f.Reason == client.ReasonNotFound:
		return http.StatusNotFound
	case f.Reason == client.ReasonInvalid:
		return http.StatusBadRequest
	case f.Reason == client.ReasonTimeout:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}
