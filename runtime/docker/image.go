package docker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/build"
	"github.com/docker/docker/api/types/image"
)

// InspectImage returns one image, found by reference or id. A missing one is ErrNotFound and ErrNoImage.
func (e *Engine) InspectImage(ctx context.Context, ref string) (*ImageInfo, error) {
	resp, err := e.cli.ImageInspect(ctx, ref)
	if err != nil {
		return nil, noImage(e.convert(err, "inspect image", ref))
	}
	info := &ImageInfo{
		ID: resp.ID, Tags: resp.RepoTags, Digests: resp.RepoDigests, Created: parseTime(resp.Created), Size: resp.Size,
		Architecture: resp.Architecture, OS: resp.Os,
	}
	if c := resp.Config; c != nil {
		info.Labels, info.User, info.Env, info.WorkingDir, info.StopSignal = c.Labels, c.User, c.Env, c.WorkingDir, c.StopSignal
		info.Entrypoint, info.Cmd = c.Entrypoint, c.Cmd
		info.Volumes, info.ExposedPorts = sortedKeys(c.Volumes), sortedKeys(c.ExposedPorts)
	}
	return info, nil
}

// ListImages lists the images that carry the labels, intermediate ones left out; nil lists all of them.
func (e *Engine) ListImages(ctx context.Context, labels map[string]string) ([]ImageInfo, error) {
	list, err := e.cli.ImageList(ctx, image.ListOptions{Filters: labelFilter(labels)})
	if err != nil {
		return nil, e.convert(err, "list images", "")
	}
	out := make([]ImageInfo, 0, len(list))
	for _, i := range list {
		out = append(out, ImageInfo{
			ID: i.ID, Tags: realNames(i.RepoTags), Digests: realNames(i.RepoDigests), Created: time.Unix(i.Created, 0), Size: i.Size, Labels: i.Labels,
		})
	}
	return out, nil
}

// LoadImages loads what `docker save` or an OCI layout tar holds and returns the references that came with it.
func (e *Engine) LoadImages(ctx context.Context, tar io.Reader) ([]string, error) {
	const op = "load image"
	resp, err := e.cli.ImageLoad(ctx, tar)
	if err != nil {
		return nil, e.convert(err, op, "")
	}
	var refs []string
	err = readMessages(resp.Body, func(m message) {
		// The engine says what it loaded in prose only; there is no other way to learn it. Nothing depends on it:
		// callers know what they loaded.
		for _, prefix := range []string{"Loaded image: ", "Loaded image ID: "} {
			if ref, ok := strings.CutPrefix(strings.TrimSpace(m.Stream), prefix); ok {
				refs = append(refs, ref)
			}
		}
	})
	return refs, e.convert(err, op, "")
}

// ImportImage makes an image of one layer from a tar of a root file system and returns its id.
func (e *Engine) ImportImage(ctx context.Context, tar io.Reader, opts ImportOptions) (string, error) {
	const op = "import image"
	body, err := e.cli.ImageImport(ctx, image.ImportSource{Source: tar, SourceName: "-"}, opts.Ref, image.ImportOptions{
		Changes: opts.Changes, Platform: opts.Platform,
	})
	if err != nil {
		return "", e.convert(err, op, opts.Ref)
	}
	var id string
	err = readMessages(body, func(m message) {
		if strings.HasPrefix(m.Status, "sha256:") {
			id = m.Status
		}
	})
	return id, e.convert(err, op, opts.Ref)
}

// BuildImage builds a context with the engine's own builder and returns the image's id.
func (e *Engine) BuildImage(ctx context.Context, tar io.Reader, opts BuildOptions) (string, error) {
	const op = "build image"
	name := strings.Join(opts.Tags, ", ")
	args := make(map[string]*string, len(opts.Args))
	for k, v := range opts.Args {
		args[k] = &v
	}
	resp, err := e.cli.ImageBuild(ctx, tar, build.ImageBuildOptions{
		Tags: opts.Tags, Dockerfile: opts.Dockerfile, BuildArgs: args, Labels: opts.Labels, Target: opts.Target,
		Platform: opts.Platform, NoCache: opts.NoCache, Remove: true, ForceRemove: true,
	})
	if err != nil {
		return "", e.convert(err, op, name)
	}
	var id string
	err = readMessages(resp.Body, func(m message) {
		if m.Aux.ID != "" {
			id = m.Aux.ID
		}
		if line := strings.TrimRight(m.Stream, "\n"); line != "" && opts.Output != nil {
			opts.Output(line)
		}
	})
	return id, e.convert(err, op, name)
}

// TagImage gives an image another name.
func (e *Engine) TagImage(ctx context.Context, source, target string) error {
	return noImage(e.convert(e.cli.ImageTag(ctx, source, target), "tag image", source))
}

// RemoveImage removes a reference, and the image itself with its last one. An image in use is ErrConflict.
func (e *Engine) RemoveImage(ctx context.Context, ref string, opts RemoveImageOptions) error {
	_, err := e.cli.ImageRemove(ctx, ref, image.RemoveOptions{Force: opts.Force, PruneChildren: opts.PruneChildren})
	return noImage(e.convert(err, "remove image", ref))
}

// noImage marks a not-found error as being about an image.
func noImage(err error) error {
	var ours *Error
	if errors.As(err, &ours) && ours.Kind == ErrNotFound {
		ours.Also = ErrNoImage
	}
	return err
}

// message is one JSON message of the engine's long-running image operations.
type message struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Stream   string `json:"stream"`
	Progress struct {
		Current int64 `json:"current"`
		Total   int64 `json:"total"`
	} `json:"progressDetail"`
	Error       string `json:"error"`
	ErrorDetail struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"errorDetail"`
	Aux struct{ ID string } `json:"aux"`
}

// readMessages reads messages to their end and closes the body. A failure inside the stream, which arrives after the
// engine has already answered 200, becomes an error.
func readMessages(body io.ReadCloser, each func(message)) error {
	defer func() { _ = body.Close() }()
	decoder := json.NewDecoder(body)
	for {
		var m message
		if err := decoder.Decode(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if m.ErrorDetail.Message != "" || m.Error != "" {
			text := m.ErrorDetail.Message
			if text == "" {
				text = m.Error
			}
			return refusal{text: text, kind: kindOf(m.ErrorDetail.Code)}
		}
		each(m)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// realNames drops the "<none>:<none>" that the engine lists for images without a name.
func realNames(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return strings.Contains(n, "<none>") })
}
