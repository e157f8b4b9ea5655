package probe

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/probe"
)

// eagerPause is the first pause between the additional probes of a container that has not answered yet. Chosen: short
// against a server's start, long against a probe.
const eagerPause = 50 * time.Millisecond

// Run probes until ctx ends, or until the probe has nothing more to say: a startup probe that has settled, a liveness probe
// that has failed. started is when the container did. report is called from Run's goroutine.
//
// Beyond kubelet's schedule, a container that has not been ready yet is asked again at short, growing pauses within its
// first period: only a success counts and failures aren't reported, so that a server is ready when it is, and not up to a
// period later.
func Run(ctx context.Context, kind Kind, spec *v1.Probe, target Target, started time.Time, report func(Outcome)) {
	r := runner{kind: kind, spec: spec, target: target, report: report, period: seconds(spec.PeriodSeconds, defaultPeriod)}
	if !sleep(ctx, time.Until(started.Add(time.Duration(spec.InitialDelaySeconds)*time.Second))) {
		return
	}
	r.eager = kind != Liveness && spec.Exec == nil
	for r.once(ctx) {
		if !r.pause(ctx) {
			return
		}
	}
}

type runner struct {
	kind   Kind
	spec   *v1.Probe
	target Target
	report func(Outcome)
	period time.Duration
	eager  bool

	last    bool
	warning bool  // the last success came with one
	run     int32 // how many times in a row the last result came
}

// once probes and reports; it returns false when there is nothing more to find out.
func (r *runner) once(ctx context.Context) bool {
	ok, message := r.try(ctx)
	if ctx.Err() != nil {
		return false
	}
	return r.count(ok, message)
}

func (r *runner) try(ctx context.Context) (bool, string) {
	timeout := seconds(r.spec.TimeoutSeconds, defaultTimeout)
	result, message := check(ctx, r.spec, r.target, timeout)
	r.warning = result == probe.Warning
	return result != probe.Failure, message
}

func (r *runner) count(ok bool, message string) bool {
	if r.run == 0 || ok != r.last {
		r.last, r.run = ok, 0
	}
	r.run++
	threshold := r.spec.FailureThreshold
	if ok {
		threshold = r.spec.SuccessThreshold
		r.eager = false
	}
	settled := r.run >= max(threshold, 1)
	r.report(Outcome{Kind: r.kind, OK: ok, Warning: r.warning, Message: message, Settled: settled, At: time.Now()})
	done := settled && (r.kind == Startup || r.kind == Liveness && !ok)
	return !done
}

// pause waits for the next period, with the eager probes in between.
func (r *runner) pause(ctx context.Context) bool {
	end := time.Now().Add(r.period)
	for wait := eagerPause; r.eager && time.Now().Add(2*wait).Before(end); wait *= 2 {
		if !sleep(ctx, wait) {
			return false
		}
		if ok, message := r.try(ctx); ok && ctx.Err() == nil {
			if !r.count(ok, message) {
				return false
			}
			end = time.Now().Add(r.period)
			break
		}
	}
	return sleep(ctx, time.Until(end))
}

func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
