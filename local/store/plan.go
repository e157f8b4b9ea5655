package store

import (
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// maxRequest is etcd's default limit for the size of a request; what a production cluster refuses is refused here too.
const maxRequest = 1536 << 10

// anyRevision is the expectation that always holds.
const anyRevision = -1

// request asks the committer for one change.
type request struct {
	ctx    context.Context
	key    []byte
	value  []byte
	delete bool
	lease  int64
	expect int64 // the ModRevision that the object must have, 0: it must not exist
	done   chan answer
}

// answer is what became of a request.
type answer struct {
	err       error
	succeeded bool
	// revision is the one that the request made, or, where it made none, the newest one that it saw.
	revision int64
	// kv is the object before the change, or the one that did not meet the expectation.
	kv *mvccpb.KeyValue
}

// plan is what a batch of requests would do to a state.
type plan struct {
	changes []change
	answers []answer // one for each request
	ended   []*lease // leases that are over when the changes are applied
}

// planner decides requests one after the other. It changes nothing: as long as the changes are not durable, they don't
// exist.
type planner struct {
	state *state
	at    int64
	// ahead is what the batch has changed so far, nil for a deletion.
	ahead map[string]*mvccpb.KeyValue
	plan
}

func newPlanner(s *state, now time.Time) *planner {
	return &planner{state: s, at: now.UnixMilli(), ahead: map[string]*mvccpb.KeyValue{}}
}

func (p *planner) revision() int64 { return p.state.revision + int64(len(p.changes)) }

func (p *planner) get(key []byte) *mvccpb.KeyValue {
	if kv, ok := p.ahead[string(key)]; ok {
		return kv
	}
	return p.state.get(key)
}

func (p *planner) request(r *request) { p.answers = append(p.answers, p.decide(r)) }

func (p *planner) decide(r *request) answer {
	if err := r.ctx.Err(); err != nil {
		return answer{err: err} // nobody waits for it any more, and nothing has happened yet
	}
	prev := p.get(r.key)
	if r.expect != anyRevision && modRevision(prev) != r.expect {
		return answer{revision: p.revision(), kv: prev}
	}
	switch {
	case r.delete && prev == nil:
		// As in etcd, the expectation that nothing is there holds, and nothing changes.
		return answer{succeeded: true, revision: p.revision()}
	case r.delete:
		p.change(&mvccpb.KeyValue{Key: prev.Key}, prev)
	case len(r.key)+len(r.value) > maxRequest:
		return answer{err: rpctypes.ErrRequestTooLarge}
	case r.lease != 0 && p.state.leases.byID[r.lease] == nil:
		return answer{err: rpctypes.ErrLeaseNotFound}
	default:
		kv := &mvccpb.KeyValue{Key: r.key, Value: r.value, Version: version(prev) + 1, Lease: r.lease}
		if prev != nil {
			kv.Key, kv.CreateRevision = prev.Key, prev.CreateRevision
		}
		p.change(kv, prev)
	}
	return answer{succeeded: true, revision: p.revision(), kv: prev}
}

func (p *planner) change(kv, prev *mvccpb.KeyValue) {
	kv.ModRevision = p.revision() + 1
	if kv.CreateRevision == 0 && kv.Version > 0 {
		kv.CreateRevision = kv.ModRevision
	}
	p.changes = append(p.changes, change{kv: kv, prev: prev, at: p.at})
	if kv.Version == 0 {
		p.ahead[string(kv.Key)] = nil
	} else {
		p.ahead[string(kv.Key)] = kv
	}
}

// expire ends leases that are due. A key that the batch has moved off its lease stays.
func (p *planner) expire(due []*lease) {
	for _, l := range due {
		for _, key := range l.sortedKeys() {
			if prev := p.get([]byte(key)); prev != nil && prev.Lease == l.id {
				p.change(&mvccpb.KeyValue{Key: prev.Key}, prev)
			}
		}
	}
	p.ended = due
}
