package store

import (
	"bytes"
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
)

// Client returns an etcd client whose services are this store: no connection, no gRPC. It is what etcd3.New of
// k8s.io/apiserver wants. What it returns must not be changed. It lives until ctx ends; closing it does not close the store.
func (s *Store) Client(ctx context.Context) *kubernetes.Client {
	c := clientv3.NewCtxClient(ctx)
	c.KV, c.Watcher, c.Lease = kvService{s}, watchService{s}, leaseService{s}
	return &kubernetes.Client{Client: c, Kubernetes: kubeService{s}}
}

func (s *Store) read(r span, revision, limit int64) (sel selection, current int64, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	sel, err = s.state.at(r, revision, limit)
	return sel, s.state.revision, err
}

// kubeService implements kubernetes.Interface, the part of etcd that Kubernetes writes and lists through.
type kubeService struct{ s *Store }

func (k kubeService) Get(ctx context.Context, key string, o kubernetes.GetOptions) (resp kubernetes.GetResponse, err error) {
	if err := ctx.Err(); err != nil {
		return resp, err
	}
	sel, current, err := k.s.read(span{start: []byte(key)}, o.Revision, 1)
	if len(sel.kvs) > 0 {
		resp.KV = sel.kvs[0]
	}
	resp.Revision = current
	return resp, err
}

func (k kubeService) List(ctx context.Context, prefix string, o kubernetes.ListOptions) (resp kubernetes.ListResponse, err error) {
	if err := ctx.Err(); err != nil {
		return resp, err
	}
	r := prefixSpan(prefix)
	if o.Continue != "" {
		r.start = []byte(o.Continue)
	}
	sel, current, err := k.s.read(r, o.Revision, o.Limit)
	resp.Kvs, resp.Count, resp.Revision = sel.kvs, sel.count, current
	return resp, err
}

func (k kubeService) Count(ctx context.Context, prefix string, _ kubernetes.CountOptions) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	sel, _, err := k.s.read(prefixSpan(prefix), 0, -1)
	return sel.count, err
}

func prefixSpan(prefix string) span {
	return span{start: []byte(prefix), end: []byte(clientv3.GetPrefixRangeEnd(prefix))}
}

func (k kubeService) OptimisticPut(ctx context.Context, key string, value []byte, expected int64, o kubernetes.PutOptions) (resp kubernetes.PutResponse, err error) {
	// The encoder's buffer may be twice as long as what it holds, and is not ours.
	a, err := k.s.submit(ctx, &request{key: []byte(key), value: bytes.Clone(value), lease: int64(o.LeaseID), expect: expected})
	if err != nil {
		return resp, err
	}
	resp.Succeeded, resp.Revision = a.succeeded, a.revision
	if !a.succeeded && o.GetOnFailure {
		resp.KV = a.kv
	}
	return resp, nil
}

func (k kubeService) OptimisticDelete(ctx context.Context, key string, expected int64, o kubernetes.DeleteOptions) (resp kubernetes.DeleteResponse, err error) {
	a, err := k.s.submit(ctx, &request{key: []byte(key), delete: true, expect: expected})
	if err != nil {
		return resp, err
	}
	resp.Succeeded, resp.Revision = a.succeeded, a.revision
	if !a.succeeded && o.GetOnFailure {
		resp.KV = a.kv
	}
	return resp, nil
}

var _ kubernetes.Interface = kubeService{}
