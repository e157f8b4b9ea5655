package pod

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"

	"skiff.local/skiff/runtime/pod/plan"
)

// slowRegistry fails a pull when it is told to.
type slowRegistry struct{ asked, fail chan struct{} }

func (r slowRegistry) Ensure(context.Context, *v1.Pod, *v1.Container, func(bool, string, string)) (Image, error) {
	r.asked <- struct{}{}
	<-r.fail
	return Image{}, errors.New("no such host")
}

func TestAPullThatFailsWhileItsImageComesDoesNotWait(t *testing.T) {
	registry := slowRegistry{asked: make(chan struct{}), fail: make(chan struct{})}
	w := newWorker(t.Context(), &Config{Images: registry, Recorder: record.NewFakeRecorder(10), Logger: slog.New(slog.DiscardHandler)}, &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"},
		Spec:       v1.PodSpec{Containers: []v1.Container{{Name: "main", Image: "web:1"}}},
	})
	pull := plan.Op{Kind: plan.EnsureImage, Container: "main"}
	failed := func(meanwhile func()) bool {
		w.launch(pull)
		<-registry.asked
		meanwhile()
		w.drain()
		registry.fail <- struct{}{}
		for len(w.flights) > 0 {
			<-w.wake
			w.drain()
		}
		_, fault := w.faults[pull.Key()]
		return fault
	}
	if failed(w.ImagesChanged) {
		t.Error("the failure counts, although the engine got an image after the pull had begun: the pod waits for nothing")
	}
	if !failed(func() {}) {
		t.Error("a failure without a change is forgotten: the pull would be tried without a pause")
	}
	if !failed(w.SourcesChanged) {
		t.Error("a change of sources makes a pull be tried again")
	}
}
