package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
	"k8s.io/apimachinery/pkg/api/apitesting"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/apis/example"
	examplev1 "k8s.io/apiserver/pkg/apis/example/v1"
	"k8s.io/apiserver/pkg/features"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/etcd3"
	storagetesting "k8s.io/apiserver/pkg/storage/testing"
	"k8s.io/apiserver/pkg/storage/value"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	featuregatetesting "k8s.io/component-base/featuregate/testing"
)

// The tests in this file are k8s.io/apiserver's own: the suite that it runs on its etcd3 storage with a real etcd
// server, run on the same etcd3 storage with this store below. Each function is named as in
// k8s.io/apiserver/pkg/storage/etcd3.

const valuePrefix = "test!"

// storageTest is an etcd3 storage of pods on a store.
type storageTest struct {
	storage.Interface
	store    *Store
	codec    runtime.Codec
	values   *swappable
	recorder *recorder
}

func exampleCodec(t testing.TB) runtime.Codec {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, metav1.SchemeGroupVersion)
	for _, add := range []func(*runtime.Scheme) error{example.AddToScheme, examplev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return apitesting.TestCodec(serializer.NewCodecFactory(scheme), examplev1.SchemeGroupVersion)
}

func newStorageTest(t testing.TB, change ...func(*Options)) (context.Context, *storageTest) {
	t.Helper()
	ctx := t.Context()
	s := openTest(t, change...)
	st := &storageTest{
		store: s, codec: exampleCodec(t),
		values: &swappable{Transformer: storagetesting.NewPrefixTransformer([]byte(valuePrefix), false)},
	}
	client := s.Client(ctx)
	st.recorder = &recorder{KubernetesRecorder: storagetesting.NewKubernetesRecorder(client.Kubernetes)}
	client.Kubernetes = st.recorder
	versioner := storage.APIObjectVersioner{}
	e, err := etcd3.New(client, s, st.codec,
		func() runtime.Object { return &example.Pod{} }, func() runtime.Object { return &example.PodList{} },
		"", "/pods/", schema.GroupResource{Resource: "pods"}, st.values,
		etcd3.LeaseManagerConfig{ReuseDurationSeconds: 1, MaxObjectCount: 1000},
		etcd3.NewDefaultDecoder(st.codec, versioner), versioner)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	st.Interface = e
	return ctx, st
}

// swappable is a transformer that the suite can replace, which etcd3 offers to its own package only.
type swappable struct{ value.Transformer }

// UpdatePrefixTransformer implements storagetesting.InterfaceWithPrefixTransformer.
func (st *storageTest) UpdatePrefixTransformer(modify storagetesting.PrefixTransformerModifier) func() {
	old := st.values.Transformer
	changed := *old.(*storagetesting.PrefixTransformer)
	st.values.Transformer = modify(&changed)
	return func() { st.values.Transformer = old }
}

// CorruptTransformer implements storagetesting.InterfaceWithCorruptTransformer.
func (st *storageTest) CorruptTransformer() func() {
	old := st.values.Transformer
	st.values.Transformer = etcd3.WithCorruptObjErrorHandlingTransformer(failing{old})
	return func() { st.values.Transformer = old }
}

// recorder counts the reads of the suite's calls.
type recorder struct {
	*storagetesting.KubernetesRecorder
	reads atomic.Uint64
}

func (r *recorder) Get(ctx context.Context, key string, o kubernetes.GetOptions) (kubernetes.GetResponse, error) {
	r.reads.Add(1)
	return r.KubernetesRecorder.Get(ctx, key, o)
}

func (r *recorder) List(ctx context.Context, prefix string, o kubernetes.ListOptions) (kubernetes.ListResponse, error) {
	r.reads.Add(1)
	return r.KubernetesRecorder.List(ctx, prefix, o)
}

// failing can't transform what is stored.
type failing struct{ value.Transformer }

func (failing) TransformFromStorage(context.Context, []byte, value.Context) ([]byte, bool, error) {
	return nil, true, errors.New("bits flipped")
}

func (st *storageTest) checkStored(ctx context.Context, t *testing.T, key string) {
	resp, err := st.store.Client(ctx).KV.Get(ctx, key)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	if len(resp.Kvs) == 0 {
		t.Fatalf("nothing is stored at %s", key)
	}
	obj, err := runtime.Decode(st.codec, bytes.TrimPrefix(resp.Kvs[0].Value, []byte(valuePrefix)))
	if err != nil {
		t.Fatalf("decode %q: %v", resp.Kvs[0].Value, err)
	}
	if pod := obj.(*example.Pod); pod.ResourceVersion != "" || pod.SelfLink != "" {
		t.Errorf("stored with resourceVersion %q and selfLink %q, want both empty", pod.ResourceVersion, pod.SelfLink)
	}
}

// checkCalls is the suite's rule for how pages grow when a selector drops objects.
func (st *storageTest) checkCalls(t *testing.T, pageSize, objects uint64) {
	if reads := st.values.Transformer.(*storagetesting.PrefixTransformer).GetReadsAndReset(); reads != objects {
		t.Errorf("%d objects were read, want %d", reads, objects)
	}
	calls := uint64(1)
	if pageSize != 0 {
		limit := pageSize
		for sum := uint64(1); sum < objects; calls++ {
			limit = min(limit*2, 10000)
			sum += limit
		}
	}
	if reads := st.recorder.reads.Swap(0); reads != calls {
		t.Fatalf("%d calls were made, want %d", reads, calls)
	}
}

func (st *storageTest) increaseRV(ctx context.Context, t *testing.T) int64 {
	resp, err := st.store.Client(ctx).KV.Put(ctx, "increaseRV", "ok")
	if err != nil {
		t.Fatal(err)
	}
	return resp.Header.Revision
}

// compactTo does what etcd3.Compact does, which also writes a key, and so makes a revision.
func (st *storageTest) compactTo(ctx context.Context, t *testing.T, resourceVersion string) {
	rv, err := storage.APIObjectVersioner{}.ParseResourceVersion(resourceVersion)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.store.Client(ctx).KV.Put(ctx, "compact_rev_key", resourceVersion); err != nil {
		t.Fatal(err)
	}
	if _, err := st.store.Client(ctx).Compact(ctx, int64(rv)); err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		t.Fatal(err)
	}
}

func TestCreate(t *testing.T) {
	ctx, st := newStorageTest(t)
	storagetesting.RunTestCreate(ctx, t, st, st.checkStored)
}

// TestStorage runs all of the suite that needs nothing but the storage.
func TestStorage(t *testing.T) {
	for name, run := range map[string]func(context.Context, *testing.T, storage.Interface){
		"CreateWithTTL":                        storagetesting.RunTestCreateWithTTL,
		"CreateWithKeyExist":                   storagetesting.RunTestCreateWithKeyExist,
		"Get":                                  storagetesting.RunTestGet,
		"UnconditionalDelete":                  storagetesting.RunTestUnconditionalDelete,
		"ConditionalDelete":                    storagetesting.RunTestConditionalDelete,
		"DeleteWithSuggestion":                 storagetesting.RunTestDeleteWithSuggestion,
		"DeleteWithSuggestionAndConflict":      storagetesting.RunTestDeleteWithSuggestionAndConflict,
		"DeleteWithConflict":                   storagetesting.RunTestDeleteWithConflict,
		"DeleteWithSuggestionOfDeletedObject":  storagetesting.RunTestDeleteWithSuggestionOfDeletedObject,
		"ValidateDeletionWithSuggestion":       storagetesting.RunTestValidateDeletionWithSuggestion,
		"ValidateDeletionWithOnlySuggestion":   storagetesting.RunTestValidateDeletionWithOnlySuggestionValid,
		"PreconditionalDeleteWithSuggestion":   storagetesting.RunTestPreconditionalDeleteWithSuggestion,
		"PreconditionalDeleteWithOnlySuggest":  storagetesting.RunTestPreconditionalDeleteWithOnlySuggestionPass,
		"GetListRecursivePrefix":               storagetesting.RunTestGetListRecursivePrefix,
		"GuaranteedUpdateWithTTL":              storagetesting.RunTestGuaranteedUpdateWithTTL,
		"GuaranteedUpdateWithConflict":         storagetesting.RunTestGuaranteedUpdateWithConflict,
		"GuaranteedUpdateWithSuggestionAndCon": storagetesting.RunTestGuaranteedUpdateWithSuggestionAndConflict,
		"ListPaging":                           storagetesting.RunTestListPaging,
		"NamespaceScopedList":                  storagetesting.RunTestNamespaceScopedList,
		"KeySchema":                            storagetesting.RunTestKeySchema,

		"Watch":                               storagetesting.RunTestWatch,
		"ClusterScopedWatch":                  storagetesting.RunTestClusterScopedWatch,
		"NamespaceScopedWatch":                storagetesting.RunTestNamespaceScopedWatch,
		"DeleteTriggerWatch":                  storagetesting.RunTestDeleteTriggerWatch,
		"WatchFromNonZero":                    storagetesting.RunTestWatchFromNonZero,
		"DelayedWatchDelivery":                storagetesting.RunTestDelayedWatchDelivery,
		"WatchContextCancel":                  storagetesting.RunTestWatchContextCancel,
		"WatcherTimeout":                      storagetesting.RunTestWatcherTimeout,
		"WatchDeleteEventObjectHaveLatestRV":  storagetesting.RunTestWatchDeleteEventObjectHaveLatestRV,
		"WatchInitializationSignal":           storagetesting.RunTestWatchInitializationSignal,
		"SendInitialEventsBackwardCompatible": storagetesting.RunSendInitialEventsBackwardCompatibility,
		"WatchSemantics":                      storagetesting.RunWatchSemantics,
		"WatchSemanticInitialEventsExtended":  storagetesting.RunWatchSemanticInitialEventsExtended,
		"WatchListMatchSingle":                storagetesting.RunWatchListMatchSingle,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, st := newStorageTest(t)
			run(ctx, t, st)
		})
	}
}

func TestGetListNonRecursive(t *testing.T) {
	ctx, st := newStorageTest(t)
	storagetesting.RunTestGetListNonRecursive(ctx, t, st.increaseRV, st)
}

func TestGuaranteedUpdate(t *testing.T) {
	ctx, st := newStorageTest(t)
	storagetesting.RunTestGuaranteedUpdate(ctx, t, st, st.checkStored)
}

func TestGuaranteedUpdateChecksStoredData(t *testing.T) {
	ctx, st := newStorageTest(t)
	storagetesting.RunTestGuaranteedUpdateChecksStoredData(ctx, t, st)
}

func TestTransformationFailure(t *testing.T) {
	ctx, st := newStorageTest(t)
	storagetesting.RunTestTransformationFailure(ctx, t, st)
}

func TestList(t *testing.T) {
	ctx, st := newStorageTest(t)
	storagetesting.RunTestList(ctx, t, st, st.compactTo, false, st.recorder.KubernetesRecorder)
}

func TestConsistentList(t *testing.T) {
	ctx, st := newStorageTest(t)
	storagetesting.RunTestConsistentList(ctx, t, st, st.increaseRV, false, true, false)
}

func TestCompactRevision(t *testing.T) {
	ctx, st := newStorageTest(t)
	storagetesting.RunTestCompactRevision(ctx, t, st, st.increaseRV, st.compactTo)
}

func TestListContinuation(t *testing.T) {
	ctx, st := newStorageTest(t)
	storagetesting.RunTestListContinuation(ctx, t, st, st.checkCalls)
}

func TestListPaginationRareObject(t *testing.T) {
	ctx, st := newStorageTest(t)
	storagetesting.RunTestListPaginationRareObject(ctx, t, st, st.checkCalls)
}

func TestListContinuationWithFilter(t *testing.T) {
	ctx, st := newStorageTest(t)
	storagetesting.RunTestListContinuationWithFilter(ctx, t, st, st.checkCalls)
}

func TestListInconsistentContinuation(t *testing.T) {
	ctx, st := newStorageTest(t)
	storagetesting.RunTestListInconsistentContinuation(ctx, t, st, st.compactTo)
}

func TestListResourceVersionMatch(t *testing.T) {
	ctx, st := newStorageTest(t)
	storagetesting.RunTestListResourceVersionMatch(ctx, t, st)
}

func TestStorageStats(t *testing.T) {
	for _, sizes := range []bool{true, false} {
		t.Run(fmt.Sprintf("sizes=%v", sizes), func(t *testing.T) {
			ctx, st := newStorageTest(t)
			if sizes {
				if err := st.EnableResourceSizeEstimation(st.keys); err != nil {
					t.Fatal(err)
				}
			}
			storagetesting.RunTestStats(ctx, t, st, st.codec, st.values.Transformer, sizes)
		})
	}
}

// keys is what etcd3's own getKeys does.
func (st *storageTest) keys(ctx context.Context) ([]string, error) {
	resp, err := st.store.Client(ctx).KV.Get(ctx, "/pods/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, kv := range resp.Kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys, nil
}

func TestWatchFromZero(t *testing.T) {
	ctx, st := newStorageTest(t)
	storagetesting.RunTestWatchFromZero(ctx, t, st, st.compactTo)
}

func TestWatchError(t *testing.T) {
	ctx, st := newStorageTest(t)
	storagetesting.RunTestWatchError(ctx, t, st)
}

func TestProgressNotify(t *testing.T) {
	ctx, st := newStorageTest(t, everySecond)
	storagetesting.RunOptionalTestProgressNotify(ctx, t, st, st.increaseRV)
}

func everySecond(o *Options) { o.ProgressInterval = time.Second }

func TestWatchDispatchBookmarkEvents(t *testing.T) {
	ctx, st := newStorageTest(t, everySecond)
	storagetesting.RunTestWatchDispatchBookmarkEvents(ctx, t, st, false)
}

func TestWatchWithUnsafeDelete(t *testing.T) {
	featuregatetesting.SetFeatureGateDuringTest(t, utilfeature.DefaultFeatureGate, features.AllowUnsafeMalformedObjectDeletion, true)
	ctx, st := newStorageTest(t)
	storagetesting.RunTestWatchWithUnsafeDelete(ctx, t, st)
}

func TestWatchSemanticsWithConcurrentDecode(t *testing.T) {
	featuregatetesting.SetFeatureGateDuringTest(t, utilfeature.DefaultFeatureGate, features.ConcurrentWatchObjectDecode, true)
	ctx, st := newStorageTest(t)
	storagetesting.RunWatchSemantics(ctx, t, st)
}

func TestWatchErrorEventIsBlockingFurtherEvent(t *testing.T) {
	ctx, st := newStorageTest(t)
	storagetesting.RunWatchErrorIsBlockingFurtherEvents(ctx, t, st)
}

// TestLinearizedReadRevisionInvariant is etcd3's: reading makes no revisions.
func TestLinearizedReadRevisionInvariant(t *testing.T) {
	ctx, st := newStorageTest(t)
	out := &example.Pod{}
	if err := st.Create(ctx, "/pods/a", &example.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, out, 0); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := st.store.Client(ctx).KV.Get(ctx, "/pods/a"); err != nil {
			t.Fatal(err)
		}
	}
	list := &example.PodList{}
	if err := st.GetList(ctx, "/pods/", storage.ListOptions{Predicate: storage.Everything, Recursive: true}, list); err != nil {
		t.Fatal(err)
	}
	if list.ResourceVersion != out.ResourceVersion {
		t.Errorf("the list has revision %s, the last write %s", list.ResourceVersion, out.ResourceVersion)
	}
}
