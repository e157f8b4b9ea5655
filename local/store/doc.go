// Package store is the durable key-value store under the API server: what etcd is to a production cluster, as a library in
// the daemon's process. It is shaped like etcd where Kubernetes can tell, so that k8s.io/apiserver's own etcd3 storage runs
// on top of it unchanged: Client returns an etcd client whose services are this store.
//
// All objects live in an ordered tree in memory. A file holds what is needed to build it again: a base and the batches of
// changes since, each with a checksum (package journal). bbolt was measured and left aside: it takes two syncs and 0.41 ms
// for a durable write where an append takes one and 0.17 ms; it checks none of its data pages, falls back without a word to
// the state before the last write when its newest meta page is damaged, and panics in a goroutine of its own on a damaged
// tree; and its lookups on disk would go unused.
//
// # Writes
//
// Writers hand requests to one committer. It takes all that are waiting, decides them one after the other (an
// optimistic write whose expectation does not hold changes nothing), appends the changes to the journal as one batch with
// one sync, then applies them to the tree, tells the watchers and answers. So a change becomes visible, to readers and
// watchers too, only when it is durable, as in etcd: were it visible before, a controller could act on, and a client
// resume from, a revision that a crash takes back and that then names another change. It also makes a failed write easy:
// nothing has to be undone.
//
// Each change has a revision of its own, one more than the change before.
//
// # History
//
// Changes are kept for a while, so that watches can start in the past and lists can be read in pages of one revision:
// for at least five minutes, unless they take more memory than allowed. What is older is compacted, and whoever asks for
// it gets ErrCompacted, which the API server turns into 410 Gone. Watchers have no queues: each is a position in the history
// that all share. One that is so slow that its position is compacted is cancelled with ErrCompacted, as in etcd, and its
// client lists again. The history is also in the file, so a restart does not break watches.
//
// # Trouble
//
// A write that can't be made durable is answered with an error (ErrNoSpace among them) and leaves everything as it was. A
// file that is not what was written is not opened: DamagedError says what is wrong and how to put back the last good copy,
// which is written by each Close. A store is open once at a time: ErrInUse.
package store
