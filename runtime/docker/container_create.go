package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// CreateContainer creates a container and returns its id. A missing image is ErrNotFound and ErrNoImage, a taken name
// ErrConflict, and something this engine can't express ErrUnsupported (before anything is created).
func (e *Engine) CreateContainer(ctx context.Context, spec ContainerSpec) (string, error) {
	const op = "create container"
	if err := e.checkSpec(spec); err != nil {
		return "", err
	}
	config, host, networking, err := translateSpec(spec)
	if err != nil {
		return "", &Error{Op: op, Object: spec.Name, Kind: ErrInvalid, Text: err.Error(), Err: err}
	}
	platform, err := parsePlatform(spec.Platform)
	if err != nil {
		return "", &Error{Op: op, Object: spec.Name, Kind: ErrInvalid, Text: err.Error(), Err: err}
	}
	if mac := spec.Endpoint.MAC; mac != "" && !e.features.EndpointMAC {
		config.MacAddress = mac //nolint:staticcheck // what replaces it is younger
		networking.EndpointsConfig[spec.Network].MacAddress = ""
	}
	resp, err := e.cli.ContainerCreate(ctx, config, host, networking, platform, spec.Name)
	if err != nil {
		err = e.convert(err, op, spec.Name)
		// The image is the only thing that create looks up by name and reports as missing: volumes are made, and
		// networks and joined containers are looked up at start.
		var ours *Error
		if errors.As(err, &ours) && ours.Kind == ErrNotFound {
			ours.Also = ErrNoImage
			ours.Advice = "build or pull " + spec.Image + ", or check its name and tag with `docker images`"
		}
		return "", err
	}
	return resp.ID, nil
}

// checkSpec refuses what the engine would silently ignore or misread because it is too old.
func (e *Engine) checkSpec(spec ContainerSpec) error {
	const op = "create container"
	for _, m := range spec.Mounts {
		switch {
		case m.Type == MountImage && !e.features.ImageMounts:
			return e.unsupported(op, spec.Name, "an image volume", "1.48")
		case m.Subpath != "" && !e.features.VolumeSubpath:
			return e.unsupported(op, spec.Name, "a volume's subpath", "1.45")
		case len(m.TmpfsOptions) > 0 && !e.features.TmpfsOptions:
			return e.unsupported(op, spec.Name, "a tmpfs option", "1.46")
		case m.RecursiveReadOnly && !e.features.RecursiveReadOnly:
			return e.unsupported(op, spec.Name, "a recursive read-only mount", "1.44")
		}
	}
	return nil
}

func parsePlatform(s string) (*ocispec.Platform, error) {
	if s == "" {
		return nil, nil
	}
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
		return nil, fmt.Errorf("platform %q is not of the form os/architecture[/variant]", s)
	}
	platform := &ocispec.Platform{OS: parts[0], Architecture: parts[1]}
	if len(parts) == 3 {
		platform.Variant = parts[2]
	}
	return platform, nil
}
