package store

import (
	"context"
	"errors"
	"reflect"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// errUnsupported is the answer to what k8s.io/apiserver does not use.
var errUnsupported = errors.New("the store does not support this operation of etcd")

// kvService implements the part of clientv3.KV that the API server uses outside of kubernetes.Interface, or that tools and
// tests can't do without.
type kvService struct{ s *Store }

func (k kvService) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	op := clientv3.OpGet(key, opts...)
	limit := op.Limit()
	if op.IsCountOnly() {
		limit = -1
	}
	sel, current, err := k.s.read(span{start: op.KeyBytes(), end: op.RangeBytes()}, op.Rev(), limit)
	if err != nil {
		return nil, err
	}
	return &clientv3.GetResponse{
		Header: &pb.ResponseHeader{Revision: current},
		Kvs:    sel.kvs, Count: sel.count, More: limit >= 0 && int64(len(sel.kvs)) < sel.count,
	}, nil
}

// Put takes no options.
func (k kvService) Put(ctx context.Context, key, value string, opts ...clientv3.OpOption) (*clientv3.PutResponse, error) {
	if len(opts) > 0 {
		return nil, errUnsupported
	}
	a, err := k.s.submit(ctx, &request{key: []byte(key), value: []byte(value), expect: anyRevision})
	if err != nil {
		return nil, err
	}
	return &clientv3.PutResponse{Header: &pb.ResponseHeader{Revision: a.revision}}, nil
}

// Delete takes no options: it deletes one key.
func (k kvService) Delete(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.DeleteResponse, error) {
	if len(opts) > 0 {
		return nil, errUnsupported
	}
	a, err := k.s.submit(ctx, &request{key: []byte(key), delete: true, expect: anyRevision})
	if err != nil {
		return nil, err
	}
	resp := &clientv3.DeleteResponse{Header: &pb.ResponseHeader{Revision: a.revision}}
	if a.kv != nil {
		resp.Deleted = 1
	}
	return resp, nil
}

func (k kvService) Compact(_ context.Context, revision int64, _ ...clientv3.CompactOption) (*clientv3.CompactResponse, error) {
	current, err := k.s.compact(revision)
	if err != nil {
		return nil, err
	}
	return &clientv3.CompactResponse{Header: &pb.ResponseHeader{Revision: current}}, nil
}

// compact forgets the past up to a revision.
func (s *Store) compact(revision int64) (current int64, err error) {
	derr := s.do(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		current = s.state.revision
		switch {
		case revision > current:
			err = rpctypes.ErrFutureRev
		case revision <= s.state.history.compacted:
			err = rpctypes.ErrCompacted
		default:
			s.state.history.compact(revision)
		}
	})
	if derr != nil {
		return 0, derr
	}
	return current, err // unwrapped: it is compared with ==
}

func (kvService) Do(context.Context, clientv3.Op) (clientv3.OpResponse, error) {
	return clientv3.OpResponse{}, errUnsupported
}

func (kvService) Txn(context.Context) clientv3.Txn { return noTxn{} }

type noTxn struct{}

func (t noTxn) If(...clientv3.Cmp) clientv3.Txn        { return t }
func (t noTxn) Then(...clientv3.Op) clientv3.Txn       { return t }
func (t noTxn) Else(...clientv3.Op) clientv3.Txn       { return t }
func (t noTxn) Commit() (*clientv3.TxnResponse, error) { return nil, errUnsupported }

// watchService implements clientv3.Watcher. Events always carry the previous object.
type watchService struct{ s *Store }

func (w watchService) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	op := clientv3.OpGet(key, opts...)
	return w.s.watch(ctx, span{start: op.KeyBytes(), end: op.RangeBytes()}, op.Rev(), wantsProgress(op))
}

// wantsProgress reads what WithProgressNotify sets, for which clientv3 has no accessor. Should a version of clientv3 name it
// otherwise, there are no periodic bookmarks, and the test suite says so.
func wantsProgress(op clientv3.Op) bool {
	f := reflect.ValueOf(op).FieldByName("progressNotify")
	return f.IsValid() && f.Kind() == reflect.Bool && f.Bool()
}

// RequestProgress tells those watchers that asked for progress. etcd tells all watchers of the stream, but where watchers
// belong directly to clients, those that did not ask must not get bookmarks.
func (w watchService) RequestProgress(context.Context) error {
	w.s.requestProgress()
	return nil
}

func (watchService) Close() error { return nil }

// leaseService implements what the API server uses of clientv3.Lease: Grant.
type leaseService struct{ s *Store }

// Grant makes a lease. It becomes durable with the first object that hangs on it.
func (l leaseService) Grant(_ context.Context, ttl int64) (*clientv3.LeaseGrantResponse, error) {
	if ttl <= 0 {
		return nil, rpctypes.ErrLeaseTTLTooLarge
	}
	resp := &clientv3.LeaseGrantResponse{ResponseHeader: &pb.ResponseHeader{}, TTL: ttl}
	err := l.s.do(func() {
		resp.ID = clientv3.LeaseID(l.s.grant(ttl, time.Now()))
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func (s *Store) grant(ttl int64, now time.Time) int64 {
	s.mu.Lock()
	id := now.UnixNano()
	for s.state.leases.byID[id] != nil {
		id++
	}
	s.state.leases.grant(id, ttl, now)
	s.mu.Unlock()
	s.armExpiry()
	return id
}

func (leaseService) Revoke(context.Context, clientv3.LeaseID) (*clientv3.LeaseRevokeResponse, error) {
	return nil, errUnsupported
}

func (leaseService) TimeToLive(context.Context, clientv3.LeaseID, ...clientv3.LeaseOption) (*clientv3.LeaseTimeToLiveResponse, error) {
	return nil, errUnsupported
}

func (leaseService) Leases(context.Context) (*clientv3.LeaseLeasesResponse, error) {
	return nil, errUnsupported
}

func (leaseService) KeepAlive(context.Context, clientv3.LeaseID) (<-chan *clientv3.LeaseKeepAliveResponse, error) {
	return nil, errUnsupported
}

func (leaseService) KeepAliveOnce(context.Context, clientv3.LeaseID) (*clientv3.LeaseKeepAliveResponse, error) {
	return nil, errUnsupported
}

func (leaseService) Close() error { return nil }

var (
	_ clientv3.KV      = kvService{}
	_ clientv3.Watcher = watchService{}
	_ clientv3.Lease   = leaseService{}
)
