package outcome

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"skiff.local/skiff/watch/event"
	"skiff.local/skiff/watch/plan"
)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	obj := &unstructured.Unstructured{}
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := obj.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	return obj
}

func TestJudge(t *testing.T) {
	const deployment = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: x, generation: 2}, spec: {replicas: 3}, status: "
	const set = "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: x, generation: 1}, spec: {replicas: 2}, status: "
	for _, tc := range []struct {
		name, text string
		state      State
		message    string
	}{
		{"a deployment its controller hasn't seen", deployment + "{observedGeneration: 1, replicas: 3, updatedReplicas: 3, availableReplicas: 3}}", Progressing, "the rollout begins"},
		{"a deployment half way", deployment + "{observedGeneration: 2, replicas: 4, updatedReplicas: 1}}", Progressing, "1 of 3 pods are new"},
		{"a deployment whose old pods end", deployment + "{observedGeneration: 2, replicas: 4, updatedReplicas: 3}}", Progressing, "1 old pods end"},
		{"a deployment whose pods aren't ready", deployment + "{observedGeneration: 2, replicas: 3, updatedReplicas: 3, availableReplicas: 1}}", Progressing, "1 of 3 pods available"},
		{"a deployment that is done", deployment + "{observedGeneration: 2, replicas: 3, updatedReplicas: 3, availableReplicas: 3}}", Ready, "3 pods"},
		{"a deployment that can't make pods", deployment + "{observedGeneration: 2, conditions: [{type: ReplicaFailure, status: 'True', message: exceeded quota}]}}", Progressing, "exceeded quota"},
		{"a deployment past its deadline", deployment + "{observedGeneration: 2, updatedReplicas: 3, replicas: 3, conditions: [{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded, message: stuck}]}}", Failed, "0 of 3 pods available, and no progress any more: stuck"},
		{"a stateful set half way", set + "{observedGeneration: 1, readyReplicas: 1}}", Progressing, "1 of 2 pods ready"},
		{"a stateful set between revisions", set + "{observedGeneration: 1, readyReplicas: 2, updatedReplicas: 2, updateRevision: b, currentRevision: a}}", Progressing, "2 of 2 pods are new"},
		{"a stateful set that is done", set + "{observedGeneration: 1, readyReplicas: 2, updatedReplicas: 2, updateRevision: b, currentRevision: b}}", Ready, "2 pods"},
		{"a daemon set without nodes", "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: x}, status: {}}", Ready, "0 pods"},
		{"a job that runs", "{apiVersion: batch/v1, kind: Job, metadata: {name: x}, spec: {completions: 5}, status: {active: 2, succeeded: 1}}", Progressing, "1 of 5 done, 2 running"},
		{"a job that is complete", "{apiVersion: batch/v1, kind: Job, metadata: {name: x}, status: {succeeded: 1, conditions: [{type: Complete, status: 'True'}]}}", Ready, "completed, 1 succeeded"},
		{"a job that failed", "{apiVersion: batch/v1, kind: Job, metadata: {name: x}, status: {conditions: [{type: Failed, status: 'True', reason: BackoffLimitExceeded, message: too often}]}}", Failed, "failed (BackoffLimitExceeded): too often"},
		{"a node port", "{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {type: NodePort, ports: [{port: 80, nodePort: 30080}]}}", Ready, "answers on node port 30080"},
		{"a load balancer", "{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {type: LoadBalancer, ports: [{port: 80}]}, status: {loadBalancer: {ingress: [{hostname: localhost}]}}}", Ready, "answers on localhost:80"},
		{"an inner service", "{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {type: ClusterIP}}", Silent, ""},
		{"mere data", "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}", Silent, ""},
		{"a custom object that is ready", "{apiVersion: a.example/v1, kind: Thing, metadata: {name: x}, status: {conditions: [{type: Ready, status: 'True'}]}}", Ready, ""},
		{"a custom object that isn't", "{apiVersion: a.example/v1, kind: Thing, metadata: {name: x}, status: {conditions: [{type: Ready, status: 'False', message: no db}]}}", Progressing, "no db"},
		{"a custom object without conditions", "{apiVersion: a.example/v1, kind: Thing, metadata: {name: x}}", Silent, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := Judge(object(t, tc.text)); got.State != tc.state || got.Message != tc.message {
				t.Errorf("got %d %q, want %d %q", got.State, got.Message, tc.state, tc.message)
			}
		})
	}
}

func pod(t *testing.T, status string) *corev1.Pod {
	t.Helper()
	var p corev1.Pod
	if err := yaml.UnmarshalStrict([]byte("metadata: {name: p, uid: u}\nstatus: "+status), &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

func TestPodTrouble(t *testing.T) {
	for _, tc := range []struct{ name, status, want string }{
		{"ready", "{phase: Running, conditions: [{type: Ready, status: 'True'}]}", "none"},
		{"completed", "{phase: Succeeded}", "none"},
		{"no node", "{phase: Pending, conditions: [{type: PodScheduled, status: 'False', message: 'Insufficient cpu'}]}", "can't be scheduled: Insufficient cpu, certain"},
		{"no image", "{phase: Pending, containerStatuses: [{name: c, image: x, state: {waiting: {reason: ErrImageNeverPull, message: not there}}}]}", "image x: not there, certain"},
		{"no config map", "{phase: Pending, containerStatuses: [{name: c, image: x, state: {waiting: {reason: CreateContainerConfigError, message: 'configmap \"a\" not found'}}}]}", "container c: CreateContainerConfigError configmap \"a\" not found, certain"},
		{"crashing", "{phase: Running, containerStatuses: [{name: c, image: x, restartCount: 4, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 2}}}]}", "container c crashes again and again (exit code 2, 4 restarts), certain"},
		{"init runs", "{phase: Pending, initContainerStatuses: [{name: i, image: x, state: {running: {}}}]}", "init container i runs"},
		{"probe", "{phase: Running, containerStatuses: [{name: c, image: x, started: true, state: {running: {}}}]}", "container c: the readiness probe hasn't succeeded yet"},
		{"just made", "{phase: Pending}", "waits for a node to start it"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			trouble, found := PodTrouble(pod(t, tc.status))
			got := trouble.Message
			if trouble.Certain {
				got += ", certain"
			}
			if !found {
				got = "none"
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestCrashesOfOneEndAreOne(t *testing.T) {
	ended := "{exitCode: 1, finishedAt: '2026-01-01T00:00:00Z'}"
	first := Crashes(pod(t, "{containerStatuses: [{name: c, image: x, state: {terminated: "+ended+"}}]}"))
	clean := Crashes(pod(t, "{containerStatuses: [{name: c, image: x, state: {terminated: {exitCode: 0}}}]}"))
	again := Crashes(pod(t, "{containerStatuses: [{name: c, image: x, restartCount: 1, state: {running: {}}, lastState: {terminated: "+ended+"}}]}"))
	if len(first) != 1 || len(clean) != 0 || len(again) != 1 {
		t.Fatalf("crashes: %v, clean: %v, again: %v", first, clean, again)
	}
	if first[0].Ended != again[0].Ended {
		t.Errorf("an end is told twice, as %q and as %q once the container started again", first[0].Ended, again[0].Ended)
	}
}

// TestAdvanceSaysNewsOnly walks an object through its life and compares what is said.
func TestAdvanceSaysNewsOnly(t *testing.T) {
	start := time.Unix(1000, 0)
	tr := &track{object: object(t, "{apiVersion: a.example/v1, kind: Thing, metadata: {name: x}}"), ref: plan.Ref{Kind: "Deployment", Name: "x"}, since: start, crashes: map[string]bool{}}
	slow := pod(t, "{phase: Running, containerStatuses: [{name: c, image: x, started: true, state: {running: {}}}]}")
	ready := pod(t, "{phase: Running, conditions: [{type: Ready, status: 'True'}]}")
	ready.CreationTimestamp = metav1.Now()
	crashed := pod(t, "{phase: Running, containerStatuses: [{name: c, image: x, restartCount: 1, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 2}}}]}")
	says := func(at time.Duration, v Verdict, p *corev1.Pod) string {
		out := ""
		s := tr.advance(v, []*corev1.Pod{p}, start.Add(at))
		for _, e := range s.events {
			out += string(e.Type) + " "
		}
		for range s.crashes {
			out += "crash "
		}
		if s.ask != nil {
			out += "ask "
		}
		if s.again > 0 {
			out += fmt.Sprint("again in ", s.again)
		}
		return out
	}
	for i, step := range []struct {
		at   time.Duration
		v    Verdict
		p    *corev1.Pod
		want string
	}{
		{0, Verdict{Progressing, "0 of 1"}, slow, "progress again in 3s"},
		{time.Second, Verdict{Progressing, "0 of 1"}, slow, "again in 2s"},
		{3 * time.Second, Verdict{Progressing, "0 of 1"}, slow, "ask "},
		{4 * time.Second, Verdict{Progressing, "0 of 1"}, slow, ""},
		{5 * time.Second, Verdict{Ready, ""}, ready, "ready "},
		{6 * time.Second, Verdict{Ready, ""}, ready, ""},
		{7 * time.Second, Verdict{Progressing, "0 of 1"}, slow, "again in 100ms"},
		{7100 * time.Millisecond, Verdict{Progressing, "0 of 1"}, slow, "progress again in 2.9s"},
		{8 * time.Second, Verdict{Ready, ""}, ready, "ready "},
		// Without a probe, what crashes at its start is ready for a moment: only what lasts counts.
		{9 * time.Second, Verdict{Progressing, "0 of 1"}, crashed, "again in 100ms"},
		{9100 * time.Millisecond, Verdict{Progressing, "0 of 1"}, crashed, "progress crash "},
		{10 * time.Second, Verdict{Ready, ""}, ready, "again in 3s"},
		{11 * time.Second, Verdict{Progressing, "0 of 1"}, crashed, ""},
		{12 * time.Second, Verdict{Ready, ""}, ready, "again in 3s"},
		{15 * time.Second, Verdict{Ready, ""}, ready, "ready "},
	} {
		if got := says(step.at, step.v, step.p); got != step.want {
			t.Errorf("step %d: said %q, want %q", i, got, step.want)
		}
	}
}

func TestABrokenPodThatKeepsAStatefulSetsRepairBackIsNamed(t *testing.T) {
	set := object(t, "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db, generation: 2}, status: {observedGeneration: 2, updateRevision: new}}")
	broken := "{initContainerStatuses: [{name: init, image: x, restartCount: 2, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1}}}]}"
	for revision, want := range map[string]struct {
		crashes int
		hint    bool
	}{"old": {0, true}, "new": {1, false}} {
		p := pod(t, broken)
		p.Name, p.Labels = "db-0", map[string]string{"controller-revision-hash": revision}
		tr := &track{object: set, ref: plan.Ref{Kind: "StatefulSet", Name: "db"}, since: time.Unix(1000, 0), crashes: map[string]bool{}}
		s := tr.advance(Verdict{Progressing, "0 of 1 pods ready"}, []*corev1.Pod{p}, time.Unix(1001, 0))
		hint := slices.ContainsFunc(s.events, func(e event.Event) bool {
			return e.Type == event.Waiting && strings.Contains(e.Message, "delete pod db-0 to get the new one")
		})
		if len(s.crashes) != want.crashes || hint != want.hint {
			t.Errorf("a pod of the %s revision: %d crashes, events %+v", revision, len(s.crashes), s.events)
		}
	}
}
