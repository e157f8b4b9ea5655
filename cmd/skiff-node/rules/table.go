//go:build linux

package rules

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"skiff.local/skiff/local/network/relayproto"
)

const tableName = "skiff"

// maxBatch bounds the messages of one transaction: the kernel acknowledges each, and the acknowledgements must fit into
// the socket's receive buffer (about 270 at the default of 208 KB).
const maxBatch = 150

// A Table is the relay's nftables table. It is not safe for concurrent use.
type Table struct {
	conn     *nftables.Conn
	table    *nftables.Table
	services *nftables.Set
	node     netip.Addr
	host     netip.AddrPort
	reserved map[front]bool
	departed *departed

	desired map[relayproto.Key]relayproto.Service
	current map[relayproto.Key]compiled
	nodes   map[string][]netip.Addr  // the pods of each node; nil until told
	known   map[string]bool          // nodes that have a set
	owner   map[front]relayproto.Key // which Service a map element belongs to
	queued  int                      // messages since the last flush, roughly
}

// Reserve names a port that the relay itself listens on.
type Reserve struct {
	Addr     netip.AddrPort
	Protocol relayproto.Protocol
}

// Options say what the table must know about the relay.
type Options struct {
	Node     netip.Addr // the relay's own address, on which node ports answer
	Reserved []Reserve  // what the relay listens on itself
	// Host is where connections to any TCP port of Host's address go; invalid for none.
	Host netip.AddrPort
	Log  *slog.Logger
}

// Open makes the table, empty.
func Open(o Options) (*Table, error) {
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	t := &Table{
		conn: conn, node: o.Node, host: o.Host, departed: newDeparted(o.Log), reserved: map[front]bool{},
		desired: map[relayproto.Key]relayproto.Service{},
	}
	for _, r := range o.Reserved {
		t.reserved[front{r.Addr.Addr(), r.Protocol, r.Addr.Port()}] = true
	}
	if err := t.reset(); err != nil {
		conn.CloseLasting()
		return nil, err
	}
	return t, nil
}

// Close releases the netlink socket and leaves the rules in force.
func (t *Table) Close() error { return t.conn.CloseLasting() }

// Len is the number of Services in the table.
func (t *Table) Len() int { return len(t.current) }

// reset replaces whatever the table holds by its frame: the map and the chains that hang on the kernel's hooks.
func (t *Table) reset() error {
	t.current = map[relayproto.Key]compiled{}
	t.owner = map[front]relayproto.Key{}
	t.known = map[string]bool{}
	table := &nftables.Table{Name: tableName, Family: nftables.TableFamilyIPv4}
	// Adding first makes the removal succeed whether or not the table was there.
	t.conn.AddTable(table)
	t.conn.DelTable(table)
	t.table = t.conn.AddTable(table)

	t.services = &nftables.Set{
		Table: t.table, Name: "services", IsMap: true, Concatenation: true,
		KeyType:  nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService),
		DataType: nftables.TypeVerdict,
	}
	if err := t.conn.AddSet(t.services, nil); err != nil {
		return fmt.Errorf("describe the map of services: %w", err)
	}
	for name, hook := range map[string]*nftables.ChainHook{
		"prerouting": nftables.ChainHookPrerouting, "output": nftables.ChainHookOutput,
	} {
		chain := t.conn.AddChain(&nftables.Chain{
			Name: name, Table: t.table, Type: nftables.ChainTypeNAT, Hooknum: hook, Priority: nftables.ChainPriorityNATDest,
		})
		t.addRule(chain, lookupService(t.services)...)
		if t.host.IsValid() {
			t.addRule(chain, redirectHost(t.host)...)
		}
	}
	postrouting := t.conn.AddChain(&nftables.Chain{
		Name: "postrouting", Table: t.table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	t.addRule(postrouting, masqueradeForwarded()...)
	// The relay forwards out of the interface that packets came in by, and the kernel would tell the sender to go there
	// directly, which must not happen to an address that only the relay translates.
	quiet := t.conn.AddChain(&nftables.Chain{
		Name: "quiet", Table: t.table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter,
	})
	t.addRule(quiet, dropRedirects()...)
	if t.nodes != nil {
		if err := t.queueNodes(); err != nil {
			return err
		}
	}
	return t.flush("create the table")
}

func (t *Table) addRule(chain *nftables.Chain, exprs ...expr.Any) {
	t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: chain, Exprs: exprs})
	t.queued++
}

func (t *Table) flush(doing string) error {
	t.queued = 0
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("nftables: %s: %w", doing, err)
	}
	return nil
}

// Apply makes the table serve set and stop serving removed. With full, set is everything. Services that could not be
// applied are named in the error; the others are in force.
func (t *Table) Apply(set []relayproto.Service, removed []relayproto.Key, full bool) error {
	if full {
		named := map[relayproto.Key]bool{}
		for _, s := range set {
			named[s.Key] = true
		}
		for key := range t.desired {
			if !named[key] {
				removed = append(removed, key)
			}
		}
	}
	var changes []*change
	for _, key := range removed {
		delete(t.desired, key)
		changes = append(changes, planChange(key, t.current[key], compiled{}))
	}
	for _, s := range set {
		t.desired[s.Key] = s
		changes = append(changes, planChange(s.Key, t.current[s.Key], compile(s, t.node, t.reserved)))
	}
	if err := t.execute(changes); err != nil {
		// The kernel and our idea of it may differ now: start over from what is wanted.
		if err := t.rebuild(err); err != nil {
			return err
		}
	}
	return t.forgetStale(changes)
}

func (t *Table) rebuild(cause error) error {
	if err := t.reset(); err != nil {
		return errors.Join(cause, err)
	}
	var failed error
	for key, s := range t.desired {
		if err := t.execute([]*change{planChange(key, compiled{}, compile(s, t.node, t.reserved))}); err != nil {
			failed = errors.Join(failed, fmt.Errorf("service %s/%s: %w", key.Namespace, key.Name, err))
		}
	}
	return failed
}

func (t *Table) execute(changes []*change) error {
	var batch []*change
	commit := func() error {
		if len(batch) == 0 {
			return nil
		}
		if err := t.flush(fmt.Sprintf("update %d services", len(batch))); err != nil {
			return err
		}
		for _, c := range batch {
			t.record(c)
		}
		batch = nil
		return nil
	}
	for _, c := range changes {
		if c.empty() {
			t.record(c)
			continue
		}
		if err := t.queue(c); err != nil {
			return err
		}
		batch = append(batch, c)
		if t.queued >= maxBatch {
			if err := commit(); err != nil {
				return err
			}
		}
	}
	return commit()
}

// record notes that a change is in force.
func (t *Table) record(c *change) {
	for f := range c.dropFronts {
		if t.owner[f] == c.key {
			delete(t.owner, f)
		}
	}
	for f := range c.addFronts {
		t.owner[f] = c.key
	}
	if len(c.now.targets) == 0 {
		delete(t.current, c.key)
		return
	}
	t.current[c.key] = c.now
}

// Available reports why nftables can't be used here, or nil.
func Available() error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	if _, err := conn.ListTablesOfFamily(nftables.TableFamilyIPv4); err != nil {
		if errors.Is(err, unix.EPERM) {
			return fmt.Errorf("the container lacks NET_ADMIN: %w", err)
		}
		return fmt.Errorf("the kernel has no nftables: %w", err)
	}
	return nil
}
