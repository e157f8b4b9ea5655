package daemon

import (
	"context"

	"skiff.local/skiff/local/client"
)

func (d *daemon) startNode(ctx context.Context, undo *stack) error { return nil }

func (d *daemon) stopPods(ctx context.Context, now bool) error { return nil }

func (d *daemon) why(namespace, name string) (any, error) {
	return nil, &client.Failure{Reason: client.ReasonInvalid, Message: "no such pod"}
}

func invalidBind(s string) error {
	return &client.Failure{Reason: client.ReasonInvalid, Message: "--bind " + s + " is no IP address", Hint: "write it like 0.0.0.0 or 192.168.1.10"}
}
