package logs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// followTail is how many lines of the past are shown when several containers are followed, as kubectl does.
const followTail = 10

// follower reads every container that matches, from the moment it runs.
type follower struct {
	options  *options
	target   target
	renderer *renderer
	lines    chan entry
	ended    chan source
	reading  map[source]bool // true while it is read; false when it was read to its end
	began    bool            // the first list was seen: what comes later is shown from its start
	said     string          // what is waited for, as said last
}

type entry struct {
	source source
	line   string
}

// followAll follows until ctx ends, or until nothing more can come.
func (o *options) followAll(ctx context.Context, t target) error {
	f := &follower{options: o, target: t, lines: make(chan entry, 256), ended: make(chan source), reading: map[source]bool{}}
	factory := informers.NewSharedInformerFactoryWithOptions(o.client, 0,
		informers.WithNamespace(t.namespace),
		informers.WithTweakListOptions(func(l *metav1.ListOptions) { l.LabelSelector = t.selector.String() }))
	informer := factory.Core().V1().Pods().Informer()
	changed := make(chan struct{}, 1)
	wake := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { wake() }, UpdateFunc: func(_, _ any) { wake() }, DeleteFunc: func(any) { wake() },
	}); err != nil {
		return fmt.Errorf("watch pods: %w", err)
	}
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil
	}
	for {
		if f.look(ctx, informer.GetStore()) {
			return f.drain()
		}
		select {
		case <-ctx.Done():
			return nil
		case e := <-f.lines:
			f.renderer.line(e.source, e.line)
		case s := <-f.ended:
			f.reading[s] = false
		case <-changed:
		}
	}
}

// look starts reading what is new, and tells whether nothing more can come.
func (f *follower) look(ctx context.Context, store cache.Store) (finished bool) {
	var fresh []source
	var idle []string
	found, live, containers := 0, 0, 0
	for _, item := range store.List() {
		pod, ok := item.(*corev1.Pod)
		if !ok || !f.target.matches(pod) {
			continue
		}
		found++
		if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
			live++
		}
		list, waiting := f.options.sources(pod)
		containers += len(list) + len(waiting)
		idle = append(idle, waiting...)
		for _, s := range list {
			if _, known := f.reading[s]; !known {
				fresh = append(fresh, s)
			}
		}
	}
	if f.renderer == nil && (found > 0 || !f.target.fixed) {
		f.renderer = f.options.newRenderer(!f.target.fixed || containers > 1)
	}
	tail := f.options.tail
	if tail < 0 && !f.began && len(fresh) > 1 {
		tail = followTail
	}
	for _, s := range fresh {
		f.reading[s] = true
		go f.read(ctx, s, tail)
	}
	f.began = f.began || found > 0
	busy := false
	for _, reading := range f.reading {
		busy = busy || reading
	}
	if len(f.reading) == 0 {
		f.wait(found, idle)
	}
	gone := found == 0 && f.target.fixed // and nothing takes the place of a pod that was named
	return !busy && (gone || found > 0 && live == 0 && len(f.reading) > 0)
}

// wait says what has to happen before there is a line to show. A silent terminal looks the same whether a name is
// misspelt or a pod is quiet.
func (f *follower) wait(found int, idle []string) {
	text := strings.Join(idle, "; ")
	switch {
	case found == 0 && f.target.fixed:
		return
	case found == 0:
		text = f.options.nothing(f.target).Error() + " yet"
	case text == "":
		return
	}
	if text != f.said {
		f.said = text
		fmt.Fprintf(f.options.io.ErrOut, "waiting: %s\n", text)
	}
}

// drain shows what was read before the last container ended.
func (f *follower) drain() error {
	for {
		select {
		case e := <-f.lines:
			f.renderer.line(e.source, e.line)
		default:
			if len(f.reading) == 0 {
				return f.options.nothing(f.target)
			}
			return nil
		}
	}
}

// retryInterval is how long to wait before asking again for a log that could not be opened. Chosen.
const retryInterval = 500 * time.Millisecond

func (f *follower) read(ctx context.Context, s source, tail int64) {
	defer func() {
		select {
		case f.ended <- s:
		case <-ctx.Done():
		}
	}()
	var r io.ReadCloser
	for attempt := 0; ; attempt++ {
		var err error
		if r, err = f.options.open(ctx, s, tail, false); err == nil {
			break
		}
		if errors.Is(err, context.Canceled) || attempt == 5 {
			return // the pod is gone, or going
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryInterval):
		}
	}
	defer r.Close()
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			select {
			case f.lines <- entry{s, strings.TrimSuffix(line, "\n")}:
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			return
		}
	}
}
