package watch

import (
	"context"
	"errors"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/distribution/reference"

	"skiff.local/skiff/watch/build"
	"skiff.local/skiff/watch/event"
	"skiff.local/skiff/watch/plan"
)

// Builder builds images. build.Tidy is the real one.
type Builder interface {
	Build(ctx context.Context, image build.Image, output func(line string)) (id string, err error)
}

// builds is what the loop knows of the images that it builds. The maps are the loop's own.
type builds struct {
	images map[string]*building // by build.Image.Key
	slots  chan struct{}        // bounds the builds at a time
	group  sync.WaitGroup       // builds under way
	said   map[string]bool      // problems with annotations, as reported
}

// building is one image.
type building struct {
	image       build.Image
	users       []plan.Ref
	fingerprint string // of the sources that were built last or are being built
	running     bool
	built       bool            // at least once: until then the users wait
	wanted      bool            // some object still uses it
	dirs        map[string]bool // where its sources lie, by real path
}

// built is the end of a build, on its way to the loop.
type built struct {
	key, id string
	took    time.Duration
	err     error
}

// atATime bounds the builds under way; chosen, builders use several cores each.
const atATime = 2

func newBuilds() *builds {
	return &builds{images: map[string]*building{}, slots: make(chan struct{}, atATime), said: map[string]bool{}}
}

// startBuilds finds the images that the objects want built, and starts the builds whose sources changed.
func (s *Set) startBuilds(ctx context.Context, c cause) {
	if !s.definition.Build || s.config.DryRun {
		return
	}
	b := s.builds
	for _, known := range b.images {
		known.wanted, known.users = false, nil
	}
	problems := map[string]bool{}
	for _, obj := range s.state.objects {
		images, err := s.imagesOf(obj)
		if err != nil {
			problems[err.Error()] = true
			if !b.said[err.Error()] {
				s.emit(event.Event{Type: event.Problem, File: obj.Origin.File, Line: obj.Origin.Line, Message: err.Error()})
			}
			continue
		}
		for _, image := range images {
			known := b.images[image.Key()]
			if known == nil {
				known = &building{image: image}
				b.images[image.Key()] = known
			}
			known.wanted = true
			known.users = append(known.users, obj.ref)
		}
	}
	b.said = problems
	dirs := map[string]bool{}
	for key, known := range b.images {
		if !known.wanted && !known.running {
			delete(b.images, key)
			continue
		}
		if known.fingerprint == "" || len(c.inbox.built) > 0 || c.touchesAny(known.dirs) {
			s.startBuild(ctx, key, known)
		}
		maps.Copy(dirs, known.dirs)
	}
	s.places.set("build", dirs)
	if c.once {
		b.group.Wait()
		s.endBuilds(s.takeInbox().built)
	}
}

func (s *Set) startBuild(ctx context.Context, key string, known *building) {
	known.dirs = map[string]bool{}
	fingerprint, err := build.Fingerprint(known.image, func(dir string) { s.watchDir(dir, known.dirs) })
	if known.running {
		return // the end of the build makes another pass, which compares again
	}
	if err != nil {
		fingerprint = err.Error()
	}
	if fingerprint == known.fingerprint {
		return
	}
	why := "its sources changed"
	if known.fingerprint == "" {
		why = "the set begins"
	}
	known.fingerprint = fingerprint
	if err != nil {
		s.emit(event.Event{Type: event.BuildFailed, Image: known.image.Reference, File: known.image.Dockerfile, Message: err.Error()})
		return
	}
	known.running = true
	s.emit(event.Event{Type: event.Building, Image: known.image.Reference, File: known.image.Context, Cause: why})
	s.builds.group.Go(func() {
		s.builds.slots <- struct{}{}
		defer func() { <-s.builds.slots }()
		begun := time.Now()
		id, err := s.config.Builder.Build(ctx, known.image, func(line string) {
			s.emit(event.Event{Type: event.BuildOutput, Image: known.image.Reference, Message: line})
		})
		s.post(func(in *inbox) {
			in.built = append(in.built, built{key: key, id: id, took: time.Since(begun), err: err})
		})
	})
}

// endBuilds takes in what became of builds. The images that were made have moved, as if someone else had built them.
func (s *Set) endBuilds(ended []built) {
	for _, end := range ended {
		known := s.builds.images[end.key]
		if known == nil {
			continue
		}
		known.running = false
		e := event.Event{Type: event.Built, Image: known.image.Reference, Took: end.took}
		if end.err != nil {
			e.Type, e.File, e.Message = event.BuildFailed, known.image.Dockerfile, end.err.Error()
			var failed *build.Error
			if errors.As(end.err, &failed) {
				e.Lines, e.Message = failed.Lines, "the build failed: "+failed.Err.Error()
			}
			if errors.Is(end.err, build.ErrNoDocker) {
				e.Hint = "install the docker command line, or build the image yourself: the pods follow its tag"
			}
		} else {
			known.built = true
			if s.syncer != nil {
				s.syncer.Built(known.image.Context)
			}
			s.state.moved[known.image.Reference] = move{id: end.id, since: time.Now()}
		}
		s.emit(e)
	}
}

// awaitBuilds holds back the objects whose image was never built yet: they would only fail to find it.
func (s *Set) awaitBuilds(in *plan.Input) {
	if s.builds == nil {
		return
	}
	for _, known := range s.builds.images {
		if known.built {
			continue
		}
		for _, user := range known.users {
			in.Hold[user] = true
			delete(in.Again, user)
		}
	}
}

// imagesOf lists the images that an object wants built: those that its annotations name, and the one whose Dockerfile
// lies beside the manifest.
func (s *Set) imagesOf(obj placed) ([]build.Image, error) {
	templatePath := templatePath(obj.Unstructured)
	if templatePath == nil {
		return nil, nil
	}
	containers, _ := podSpec(obj.Unstructured, templatePath)["containers"].([]any)
	var images []build.Image
	for i, c := range containers {
		fields, _ := c.(map[string]any)
		name, _ := fields["name"].(string)
		ref, _ := fields["image"].(string)
		if ref == "" {
			continue
		}
		value, asked := obj.GetAnnotations()[build.Annotation+"."+name]
		if !asked && i == 0 {
			value, asked = obj.GetAnnotations()[build.Annotation]
		}
		if asked {
			image, err := build.ParseAnnotation(value, obj.dir, ref)
			if err != nil {
				return nil, err
			}
			images = append(images, image)
			continue
		}
		if beside(obj.dir, ref, fields["imagePullPolicy"]) {
			images = append(images, build.Image{Reference: ref, Context: obj.dir, Dockerfile: filepath.Join(obj.dir, "Dockerfile")})
		}
	}
	return images, nil
}

// beside reports whether the Dockerfile in a directory is that of an image. It must be evident, lest a stranger's image
// is replaced by ours: the image has the directory's name, or may never be pulled.
func beside(dir, ref string, pullPolicy any) bool {
	if pullPolicy == "Always" {
		return false
	}
	if _, err := os.Stat(filepath.Join(dir, "Dockerfile")); err != nil {
		return false
	}
	if pullPolicy == "Never" {
		return true
	}
	named, err := reference.ParseNormalizedNamed(ref)
	return err == nil && strings.EqualFold(path.Base(reference.Path(named)), filepath.Base(dir))
}
