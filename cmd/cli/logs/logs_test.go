package logs

import (
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"skiff.local/skiff/cmd/cli/iostreams"
)

func TestLinesOfSeveralContainersAreMergedByTime(t *testing.T) {
	m := &merger{}
	for i, text := range []string{
		"2026-01-01T00:00:01.000000000Z a1\n2026-01-01T00:00:03.000000000Z a3\n",
		"2026-01-01T00:00:02.000000000Z b2\n2026-01-01T00:00:03.000000000Z b3\ncontinued\n2026-01-01T00:00:04.000000000Z b4",
		"",
	} {
		m.add(source{pod: string(rune('a' + i))}, io.NopCloser(strings.NewReader(text)))
	}
	var got []string
	for {
		s, line, ok, err := m.next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		got = append(got, s.pod+": "+line[strings.LastIndex(line, " ")+1:])
	}
	want := []string{"a: a1", "b: b2", "a: a3", "b: b3", "b: continued", "b: b4"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestJSONBecomesText(t *testing.T) {
	var plain iostreams.Colours
	for in, want := range map[string]string{
		`{"level":"info","msg":"listening","port":8080}`:                     "INFO listening port=8080",
		`{"time":"12:00","severity":"ERROR","message":"no","err":{"a":[1]}}`: `12:00 ERROR no err={"a":[1]}`,
		`{"a":1}`:               `{"a":1}`,
		`{"level":"info"`:       `{"level":"info"`,
		`plain {"level":"x"}`:   `plain {"level":"x"}`,
		`{"msg":"a"} {"b":"c"}`: `{"msg":"a"} {"b":"c"}`,
	} {
		if got := pretty(in, plain); got != want {
			t.Errorf("pretty(%s) = %q, want %q", in, got, want)
		}
	}
}

func TestRenderedLines(t *testing.T) {
	streams, _, out, _ := iostreams.Test()
	o := &options{io: streams, exclude: "noise"}
	if err := o.compile(); err != nil {
		t.Fatal(err)
	}
	r := o.newRenderer(true)
	r.line(source{pod: "web-0", container: "app"}, "2026-01-01T00:00:01.5Z hello")
	r.line(source{pod: "web-0", container: "app"}, "2026-01-01T00:00:02.5Z noise")
	r.line(source{pod: "a", container: "b"}, "2026-01-01T00:00:03.5Z ")
	want := "web-0 app | hello\na b       | \n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestWhichPodsAndContainersAreMeant(t *testing.T) {
	o := &options{container: "app|side.*"}
	if err := o.compile(); err != nil {
		t.Fatal(err)
	}
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-0", Labels: map[string]string{"app": "web"}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{
			{Name: "app", State: running},
			{Name: "sidecar", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull"}}},
			{Name: "other", State: running},
		}},
	}
	list, waiting := o.sources(pod)
	if len(list) != 1 || list[0].container != "app" {
		t.Errorf("sources: %+v", list)
	}
	if diff := cmp.Diff([]string{`container "sidecar" of pod "web-0" is waiting: ErrImagePull`}, waiting); diff != "" {
		t.Error(diff)
	}
	selector := labels.SelectorFromSet(labels.Set{"app": "web"})
	for name, test := range map[string]struct {
		target target
		want   bool
	}{
		"everything":           {target{selector: labels.Everything()}, true},
		"another label":        {target{selector: labels.SelectorFromSet(labels.Set{"app": "db"})}, false},
		"its name":             {target{selector: labels.Everything(), wants: []want{{name: "web-0"}}}, true},
		"another name":         {target{selector: labels.Everything(), wants: []want{{name: "web"}}}, false},
		"one of several wants": {target{selector: labels.Everything(), wants: []want{{name: "x"}, {selector: selector}}}, true},
	} {
		if got := test.target.matches(pod); got != test.want {
			t.Errorf("%s: matches = %v", name, got)
		}
	}
}
