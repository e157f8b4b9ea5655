package docker

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"github.com/docker/docker/api/types/image"
)

// PullImage pulls an image through the engine, which applies its own mirrors and certificates. A failure that is the
// registry's is ErrRegistry: ErrNotFound, ErrUnauthorized or ErrForbidden as well when the registry said so, and
// ErrInternal when it could not be reached or was itself unwell.
func (e *Engine) PullImage(ctx context.Context, ref string, opts PullOptions) error {
	const op = "pull image"
	auth, err := encodeAuth(opts.Auth)
	if err != nil {
		return &Error{Op: op, Object: ref, Kind: ErrInvalid, Text: err.Error(), Err: err}
	}
	body, err := e.cli.ImagePull(ctx, ref, image.PullOptions{RegistryAuth: auth, Platform: opts.Platform})
	if err == nil {
		err = readMessages(body, func(m message) {
			if opts.Progress != nil {
				opts.Progress(PullProgress{Layer: m.ID, Status: m.Status, Current: m.Progress.Current, Total: m.Progress.Total})
			}
		})
	}
	if err == nil {
		return nil
	}
	err = e.convert(err, op, ref)
	var ours *Error
	if errors.As(err, &ours) {
		e.blameRegistry(ctx, ours, ref, auth)
	}
	return err
}

// blameRegistry finds out whose fault a failed pull is. Engines answer 500 to nearly everything that goes wrong with a
// pull and explain it in prose, but they pass on what a registry says when they are asked for an image's digest only.
func (e *Engine) blameRegistry(ctx context.Context, failure *Error, ref, auth string) {
	switch failure.Kind {
	case ErrNotFound, ErrUnauthorized, ErrForbidden:
		failure.Also = ErrRegistry
		return
	case ErrInternal:
	default:
		return
	}
	const patience = 5 * time.Second // chosen: a registry that doesn't answer by then is as good as away
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := e.cli.DistributionInspect(bounded, ref, auth)
	if err == nil {
		return // the registry is well, it was something else: a full disk, a broken layer
	}
	var verdict *Error
	if errors.As(e.convert(err, failure.Op, ref), &verdict) {
		switch verdict.Kind {
		case ErrNotFound, ErrUnauthorized, ErrForbidden:
			failure.Kind = verdict.Kind
		}
	}
	failure.Also = ErrRegistry
}

func encodeAuth(auth RegistryAuth) (string, error) {
	if auth == (RegistryAuth{}) {
		return "", nil
	}
	data, err := json.Marshal(map[string]string{
		"username": auth.Username, "password": auth.Password, "serveraddress": auth.ServerAddress,
		"identitytoken": auth.IdentityToken, "registrytoken": auth.RegistryToken,
	})
	if err != nil {
		return "", err
	}
	return base64.URLEncoding.EncodeToString(data), nil
}
