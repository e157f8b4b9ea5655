package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
	"pgregory.net/rapid"
)

// modelChange is one revision of the model.
type modelChange struct {
	key, value string
	deleted    bool
}

// modelObject is an object at a revision of the model.
type modelObject struct {
	value            string
	mod, create, ver int64
}

// model is the simplest store: all changes that were ever made; that of revision r is changes[r-2].
type model struct {
	changes   []modelChange
	compacted int64
}

func (m *model) revision() int64 { return int64(len(m.changes)) + firstRevision }

// at replays everything.
func (m *model) at(revision int64) map[string]modelObject {
	objects := map[string]modelObject{}
	for i, c := range m.changes[:revision-firstRevision] {
		rev := int64(i) + firstRevision + 1
		if c.deleted {
			delete(objects, c.key)
			continue
		}
		o := objects[c.key]
		if o.ver == 0 {
			o.create = rev
		}
		objects[c.key] = modelObject{value: c.value, mod: rev, create: o.create, ver: o.ver + 1}
	}
	return objects
}

func (o modelObject) String() string {
	return fmt.Sprintf("%s@%d,%d.%d", o.value, o.mod, o.create, o.ver)
}

// machine drives a store and the model with the same actions.
type machine struct {
	t     *testing.T
	opts  Options
	store *Store
	model model
}

func (m *machine) client() kubernetes.Interface { return m.store.Client(m.t.Context()).Kubernetes }

// Few keys, some of them prefixes of others, so that actions meet.
var modelKeys = []string{"/a", "/a/", "/a/x", "/a/y", "/ab", "/b/x", "/b/x/1", "/c"}

func drawKey(t *rapid.T) string { return rapid.SampledFrom(modelKeys).Draw(t, "key") }

// drawRevision is mostly one that exists.
func (m *machine) drawRevision(t *rapid.T) int64 {
	return rapid.Int64Range(1, m.model.revision()+1).Draw(t, "revision")
}

// drawExpectation is mostly the object's revision.
func (m *machine) drawExpectation(t *rapid.T, key string) (expect int64, holds bool) {
	now := m.model.at(m.model.revision())[key].mod
	if rapid.IntRange(0, 3).Draw(t, "luck") > 0 {
		return now, true
	}
	expect = m.drawRevision(t) - 1
	return expect, expect == now
}

func (m *machine) Put(t *rapid.T) {
	key := drawKey(t)
	expect, holds := m.drawExpectation(t, key)
	value := fmt.Sprint("v", m.model.revision())
	resp, err := m.client().OptimisticPut(m.t.Context(), key, []byte(value), expect, kubernetes.PutOptions{GetOnFailure: true})
	if err != nil || resp.Succeeded != holds {
		t.Fatalf("put %s expecting %d: succeeded %v, error %v", key, expect, resp.Succeeded, err)
	}
	if holds {
		m.model.changes = append(m.model.changes, modelChange{key: key, value: value})
	} else if now := m.model.at(m.model.revision())[key].mod; modRevision(resp.KV) != now {
		t.Fatalf("the failed put returns revision %d, want %d", modRevision(resp.KV), now)
	}
	if resp.Revision != m.model.revision() {
		t.Fatalf("revision %d, want %d", resp.Revision, m.model.revision())
	}
}

func (m *machine) Delete(t *rapid.T) {
	key := drawKey(t)
	expect, holds := m.drawExpectation(t, key)
	resp, err := m.client().OptimisticDelete(m.t.Context(), key, expect, kubernetes.DeleteOptions{})
	if err != nil || resp.Succeeded != holds {
		t.Fatalf("delete %s expecting %d: succeeded %v, error %v", key, expect, resp.Succeeded, err)
	}
	if holds && expect != 0 {
		m.model.changes = append(m.model.changes, modelChange{key: key, deleted: true})
	}
	if resp.Revision != m.model.revision() {
		t.Fatalf("revision %d, want %d", resp.Revision, m.model.revision())
	}
}

// wantError is what a read at a revision fails with.
func (m *machine) wantError(revision int64) error {
	switch {
	case revision > m.model.revision():
		return rpctypes.ErrFutureRev
	case revision < m.model.compacted && revision != m.model.revision():
		return rpctypes.ErrCompacted
	}
	return nil
}

func (m *machine) Get(t *rapid.T) {
	key, revision := drawKey(t), m.drawRevision(t)
	resp, err := m.client().Get(m.t.Context(), key, kubernetes.GetOptions{Revision: revision})
	if wantErr := m.wantError(revision); err != wantErr {
		t.Fatalf("get %s at %d: error %v, want %v", key, revision, err, wantErr)
	}
	if err != nil {
		return
	}
	o, exists := m.model.at(revision)[key]
	if exists != (resp.KV != nil) || exists && fmt.Sprintf("%s@%d,%d.%d", resp.KV.Value, resp.KV.ModRevision, resp.KV.CreateRevision, resp.KV.Version) != o.String() {
		t.Fatalf("get %s at %d: %v, want %v", key, revision, resp.KV, o)
	}
}

// List reads a prefix in pages.
func (m *machine) List(t *rapid.T) {
	prefix := rapid.SampledFrom([]string{"/", "/a", "/a/", "/b/", "/z", ""}).Draw(t, "prefix")
	revision, limit := m.drawRevision(t), rapid.Int64Range(0, 3).Draw(t, "limit")
	var wantList []string
	if revision <= m.model.revision() {
		objects := m.model.at(revision)
		for _, key := range slices.Sorted(maps.Keys(objects)) {
			if strings.HasPrefix(key, prefix) {
				wantList = append(wantList, key+"="+objects[key].String())
			}
		}
	}
	var got []string
	o := kubernetes.ListOptions{Revision: revision, Limit: limit}
	for {
		resp, err := m.client().List(m.t.Context(), prefix, o)
		if wantErr := m.wantError(revision); err != wantErr {
			t.Fatalf("list %s at %d: error %v, want %v", prefix, revision, err, wantErr)
		}
		if err != nil {
			return
		}
		if want := int64(len(wantList) - len(got)); resp.Count != want {
			t.Fatalf("list %s at %d: count %d, want %d", prefix, revision, resp.Count, want)
		}
		for _, kv := range resp.Kvs {
			got = append(got, fmt.Sprintf("%s=%s@%d,%d.%d", kv.Key, kv.Value, kv.ModRevision, kv.CreateRevision, kv.Version))
		}
		if int64(len(resp.Kvs)) == resp.Count {
			break
		}
		o.Continue = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
	if !slices.Equal(got, wantList) {
		t.Fatalf("list %s at %d: %v, want %v", prefix, revision, got, wantList)
	}
	if n, err := m.client().Count(m.t.Context(), prefix, kubernetes.CountOptions{}); err != nil || revision == m.model.revision() && n != int64(len(wantList)) {
		t.Fatalf("count %s: %d, %v", prefix, n, err)
	}
}

// Watch reads all changes of a prefix from a revision on.
func (m *machine) Watch(t *rapid.T) {
	prefix := rapid.SampledFrom([]string{"/", "/a", "/a/", "/c"}).Draw(t, "prefix")
	revision := m.drawRevision(t)
	before := map[string]modelObject{}
	var wantList []string
	for rev := revision; rev <= m.model.revision(); rev++ {
		if rev == firstRevision {
			continue
		}
		c := m.model.changes[rev-firstRevision-1]
		before = m.model.at(rev - 1)
		if strings.HasPrefix(c.key, prefix) {
			wantList = append(wantList, fmt.Sprintf("%d %v %s=%s was %s", rev, c.deleted, c.key, c.value, before[c.key].value))
		}
	}
	ctx, cancel := context.WithCancel(m.t.Context())
	defer cancel()
	w := m.store.Client(ctx).Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(revision))
	if revision <= m.model.compacted {
		if resp := <-w; resp.Err() != rpctypes.ErrCompacted {
			t.Fatalf("watch from %d, compacted %d: %v", revision, m.model.compacted, resp.Err())
		}
		return
	}
	var got []string
	for len(got) < len(wantList) {
		resp, ok := <-w
		if !ok || resp.Err() != nil {
			t.Fatalf("watch from %d: ended after %v: %v", revision, got, resp.Err())
		}
		for _, e := range resp.Events {
			var was string
			if e.PrevKv != nil {
				was = string(e.PrevKv.Value)
			}
			got = append(got, fmt.Sprintf("%d %v %s=%s was %s", e.Kv.ModRevision, e.Type == clientv3.EventTypeDelete, e.Kv.Key, e.Kv.Value, was))
		}
	}
	if !slices.Equal(got, wantList) {
		t.Fatalf("watch %s from %d: %v, want %v", prefix, revision, got, wantList)
	}
}

func (m *machine) Compact(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "seldom") > 0 {
		return
	}
	revision := m.drawRevision(t)
	_, err := m.store.Client(m.t.Context()).Compact(m.t.Context(), revision)
	switch {
	case revision > m.model.revision():
		if err != rpctypes.ErrFutureRev {
			t.Fatalf("compact to %d: %v", revision, err)
		}
	case revision <= m.model.compacted:
		if err != rpctypes.ErrCompacted {
			t.Fatalf("compact to %d: %v", revision, err)
		}
	case err != nil:
		t.Fatalf("compact to %d: %v", revision, err)
	default:
		m.model.compacted = revision
	}
	if got := m.store.CompactRevision(); got != m.model.compacted {
		t.Fatalf("compacted to %d, want %d", got, m.model.compacted)
	}
}

// Reopen closes the store, or just drops it, and opens it again. The past that is in the file is there again, and may be
// more than was in memory.
func (m *machine) Reopen(t *rapid.T) {
	if rapid.Bool().Draw(t, "close") {
		if err := m.store.Close(); err != nil {
			t.Fatal(err)
		}
	} else {
		abandon(m.t, m.store)
	}
	m.open(t)
	if c := m.store.CompactRevision(); c > m.model.compacted {
		t.Fatalf("compacted to %d, was %d", c, m.model.compacted)
	}
	m.model.compacted = m.store.CompactRevision()
}

func (m *machine) open(t *rapid.T) {
	var err error
	if m.store, err = Open(m.opts); err != nil {
		t.Fatal(err)
	}
}

// Check compares all of it.
func (m *machine) Check(t *rapid.T) {
	st := m.store.Stats()
	objects := m.model.at(m.model.revision())
	var bytes int64
	for key, o := range objects {
		bytes += int64(len(key) + len(o.value))
	}
	if st.Revision != m.model.revision() || st.Objects != len(objects) || st.DataBytes != bytes {
		t.Fatalf("revision %d, %d objects, %d bytes; want %d, %d, %d", st.Revision, st.Objects, st.DataBytes, m.model.revision(), len(objects), bytes)
	}
}

func TestAStoreDoesWhatTheModelDoes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{t: t, opts: Options{Path: t.TempDir() + "/state.db"}}
		if rapid.Bool().Draw(rt, "rewrite") {
			m.opts.rewriteSlack = -1 << 40
		}
		m.open(rt)
		defer func() { abandon(t, m.store) }()
		rt.Repeat(map[string]func(*rapid.T){
			"put": m.Put, "put again": m.Put, "delete": m.Delete, "get": m.Get, "list": m.List,
			"watch": m.Watch, "compact": m.Compact, "reopen": m.Reopen, "": m.Check,
		})
	})
}
