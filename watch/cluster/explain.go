package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// Explanation is one reason for a failure, in words for people.
type Explanation struct {
	Reason string
	Hint   string
	// Path is the field that it is about, as manifest.Origin.Locate understands it, "" for the whole object.
	Path string
	// Key says that the field's name is wrong, not its value.
	Key bool
	// Quote says that the value should be quoted; the hint is the value as it was written then.
	Quote bool
	// Retry says that the same object may succeed later without being edited.
	Retry bool
}

// Explain turns the error of an Apply into reasons, at least one.
func (c *Cluster) Explain(ctx context.Context, request Request, err error) []Explanation {
	var (
		unknown     *UnknownKindError
		owned       *OwnedError
		terminating *TerminatingError
		status      apierrors.APIStatus
	)
	switch {
	case errors.As(err, &unknown):
		return []Explanation{{Reason: unknown.Error(), Hint: unknown.Hint, Path: "kind", Retry: true}}
	case errors.As(err, &owned):
		return []Explanation{{Reason: owned.Error(), Hint: "--take-over moves it to this set"}}
	case errors.As(err, &terminating):
		return []Explanation{{Reason: terminating.Error(), Retry: true}}
	case errors.As(err, &status):
		return c.explainStatus(ctx, request, status.Status())
	case unreachable(err):
		return []Explanation{{Reason: "the cluster doesn't answer: " + rootCause(err), Retry: true}}
	}
	return []Explanation{{Reason: err.Error(), Retry: true}}
}

// Unreachable reports whether err says that the cluster could not be asked at all.
func Unreachable(err error) bool {
	var status apierrors.APIStatus
	return err != nil && !errors.As(err, &status) && unreachable(err)
}

func unreachable(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) || utilnet.IsConnectionRefused(err) || utilnet.IsConnectionReset(err) || utilnet.IsProbableEOF(err)
}

func rootCause(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}

func (c *Cluster) explainStatus(ctx context.Context, request Request, status metav1.Status) []Explanation {
	switch status.Reason {
	case metav1.StatusReasonInvalid, metav1.StatusReasonBadRequest, metav1.StatusReasonInternalError, metav1.StatusReasonUnknown:
		// The server names a field that it doesn't know in prose only; the kind's schema tells which and where.
		if found := c.checkSchema(ctx, request.Object); len(found) > 0 {
			return found
		}
	}
	message := strings.TrimPrefix(status.Message, "admission webhook ")
	switch status.Reason {
	case metav1.StatusReasonInvalid:
		return invalid(status)
	case metav1.StatusReasonNotFound:
		if status.Details != nil && status.Details.Kind == "namespaces" {
			return []Explanation{{
				Reason: fmt.Sprintf("there is no namespace %s", status.Details.Name), Path: "metadata.namespace", Retry: true,
				Hint: fmt.Sprintf("add a Namespace to the manifests, or `kubectl create namespace %s`", status.Details.Name),
			}}
		}
		return []Explanation{{Reason: message, Retry: true}}
	case metav1.StatusReasonBadRequest, metav1.StatusReasonMethodNotAllowed, metav1.StatusReasonUnsupportedMediaType,
		metav1.StatusReasonRequestEntityTooLarge, metav1.StatusReasonNotAcceptable:
		return []Explanation{{Reason: message}}
	}
	return []Explanation{{Reason: message, Retry: true}}
}

// invalid takes the causes of a refused object apart; they name fields.
func invalid(status metav1.Status) []Explanation {
	if status.Details == nil || len(status.Details.Causes) == 0 {
		return []Explanation{{Reason: status.Message}}
	}
	var reasons []Explanation
	seen := map[string]bool{}
	for _, cause := range status.Details.Causes {
		reason := cause.Field + ": " + cause.Message
		if cause.Field == "" || cause.Field == "<nil>" {
			reason = cause.Message
		}
		if seen[reason] {
			continue
		}
		seen[reason] = true
		reasons = append(reasons, Explanation{Reason: reason, Path: cause.Field})
	}
	return reasons
}
