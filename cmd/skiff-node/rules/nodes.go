//go:build linux

package rules

import (
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"

	"github.com/google/nftables"
)

// SetNodes tells which pods are on which node, for Services that send them to endpoints of theirs only.
func (t *Table) SetNodes(nodes map[string][]netip.Addr) error {
	t.nodes = nodes
	if err := t.queueNodes(); err != nil {
		return err
	}
	return t.flush("note the pods of nodes")
}

// queueNodes fills the sets of every node's pods, and of all pods. A node that has gone keeps a set without pods.
func (t *Table) queueNodes() error {
	var all []netip.Addr
	for _, pods := range t.nodes {
		all = append(all, pods...)
	}
	if err := t.queuePods(t.anyPod(), all); err != nil {
		return err
	}
	for node := range t.nodes {
		t.known[node] = true
	}
	for node := range t.known {
		if err := t.queuePods(t.podsOf(node), t.nodes[node]); err != nil {
			return err
		}
	}
	return nil
}

func (t *Table) queuePods(set *nftables.Set, pods []netip.Addr) error {
	if err := t.conn.AddSet(set, nil); err != nil {
		return fmt.Errorf("describe pods of a node: %w", err)
	}
	t.conn.FlushSet(set)
	t.queued += 3
	elements := make([]nftables.SetElement, len(pods))
	for i, pod := range pods {
		elements[i] = nftables.SetElement{Key: pod.AsSlice()}
	}
	if len(elements) == 0 {
		return nil
	}
	if err := t.conn.SetAddElements(set, elements); err != nil {
		return fmt.Errorf("describe pods of a node: %w", err)
	}
	return nil
}

func (t *Table) anyPod() *nftables.Set {
	return &nftables.Set{Table: t.table, Name: "pods", KeyType: nftables.TypeIPAddr}
}

func (t *Table) podsOf(node string) *nftables.Set {
	sum := fnv.New64a()
	sum.Write([]byte(node))
	return &nftables.Set{Table: t.table, Name: "n-" + hex.EncodeToString(sum.Sum(nil)), KeyType: nftables.TypeIPAddr}
}

// queueLocal writes a chain that sends pods to endpoints of their own node or nowhere, and everybody else anywhere.
func (t *Table) queueLocal(chain *nftables.Chain, now target) error {
	for node, backends := range now.local {
		pods := t.podsOf(node)
		if err := t.conn.AddSet(pods, nil); err != nil {
			return fmt.Errorf("describe pods of a node: %w", err)
		}
		t.known[node] = true
		own := t.conn.AddChain(&nftables.Chain{Name: nodeChain(now.chain, node), Table: t.table})
		t.conn.FlushChain(own)
		t.queued += 3
		if err := t.queueChoice(own, backends); err != nil {
			return err
		}
		t.addRule(chain, gotoIfKnown(pods, own.Name)...)
	}
	all := t.anyPod()
	if err := t.conn.AddSet(all, nil); err != nil {
		return fmt.Errorf("describe pods: %w", err)
	}
	t.queued++
	t.addRule(chain, slices.Concat(isKnown(all), dnatTo(netip.AddrPortFrom(t.node, closed)))...)
	return t.queueChoice(chain, now.backends)
}

// dropLocal removes the chains of nodes that have no endpoints any more.
func (t *Table) dropLocal(old, now target) {
	for node := range old.local {
		if _, stays := now.local[node]; !stays {
			own := &nftables.Chain{Name: nodeChain(old.chain, node), Table: t.table}
			t.conn.FlushChain(own)
			t.conn.DelChain(own)
			t.queued += 2
		}
	}
}

func nodeChain(chain, node string) string {
	sum := fnv.New64a()
	sum.Write([]byte(chain + "@" + node))
	return "l-" + hex.EncodeToString(sum.Sum(nil))
}
