package plan

import "time"

// Kubelet's restart back-off: the first restart is immediate, then 10 s doubling to 5 min, and a container that ran for
// 10 min starts over.
const (
	firstBackoff = 10 * time.Second
	maxBackoff   = 5 * time.Minute
	resetAfter   = 10 * time.Minute
)

// restart says when the successor of an ended container may start and which delay it has to remember.
func restart(ended *Container, hash string) (at time.Time, remember time.Duration) {
	end := ended.ended()
	if ended.Hash != hash {
		return end, 0
	}
	delay := ended.Backoff
	if !ended.Started.IsZero() && end.Sub(ended.Started) > resetAfter {
		delay = 0
	}
	if delay == 0 {
		return end, firstBackoff
	}
	return end.Add(delay), min(2*delay, maxBackoff)
}

// retry is the delay after the n-th failure in a row of an operation. Images wait as kubelet's do; everything else is
// retried sooner, since what it waits for is usually on the same machine.
func retry(kind Kind, n int) time.Duration {
	first, last := time.Second, 2*time.Minute
	if kind == EnsureImage {
		first, last = firstBackoff, maxBackoff
	}
	delay := first
	for ; n > 1 && delay < last; n-- {
		delay *= 2
	}
	return min(delay, last)
}

// shownAsError is how long a failed pull shows as ErrImagePull before it shows as ImagePullBackOff. Chosen: kubelet's next
// sync comes about this soon.
const shownAsError = time.Second
