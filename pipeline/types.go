package pipeline

import (
	"context"
	"math"
	"net/netip"
	"sync/atomic"
	"time"
)

// Permanent is the UntilNanos of a ban that does not end.
const Permanent int64 = math.MaxInt64

// Policy is how a jail counts and bans. A reload replaces it whole; a Policy
// that a jail has is never changed.
type Policy struct {
	MaxRetry int           // failures that ban; ≥ 1
	FindTime time.Duration // the window in which they count
	BanTime  time.Duration // negative: permanent
	Exact    bool          // counter = exact; else fail2ban's estimate

	// MaxMatches is the number of lines of an ID that are kept for the Ticket of
	// its ban; 0: none.
	MaxMatches int

	Prefix6 Prefix6 // ipv6-prefix; needs Config.Networks for Prefix6Auto
	Subnet  Subnet  // subnet-ban; needs Config.Networks
}

// Until returns the end of a ban that begins at atNanos, or Permanent.
func (p *Policy) Until(atNanos int64) int64 {
	if p.BanTime < 0 || atNanos > Permanent-int64(p.BanTime) {
		return Permanent
	}
	return atNanos + int64(p.BanTime)
}

// Jail is the identity of a jail. Sessions, window entries and positions hang
// on it, so that a reload that changes the policy or the filter keeps them.
type Jail struct {
	Name   string // never changes
	policy atomic.Pointer[Policy]
}

// NewJail returns a jail with the given policy.
func NewJail(name string, p Policy) *Jail {
	j := &Jail{Name: name}
	j.SetPolicy(p)
	return j
}

// Policy returns the policy in force. It must not be changed.
func (j *Jail) Policy() *Policy { return j.policy.Load() }

// SetPolicy replaces the policy; safe beside readers.
func (j *Jail) SetPolicy(p Policy) { j.policy.Store(&p) }

// ID is what failures are counted for and bans are made of: an address, a
// network, or (fail2ban's <F-ID>) a text that is neither. The zero ID is
// nobody. IDs are comparable and are map keys.
type ID struct {
	prefix netip.Prefix // valid for an address or a network
	text   string
}

// AddrID returns the ID of one address. A 4-in-6 address is taken as IPv4, a
// zone is dropped.
func AddrID(a netip.Addr) ID {
	a = a.Unmap().WithZone("")
	return ID{prefix: netip.PrefixFrom(a, a.BitLen())}
}

// NetID returns the ID of a network, masked. A network of one address is the
// ID of that address.
func NetID(p netip.Prefix) ID {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return ID{prefix: p.Masked()}
}

// TextID returns the ID of a text that is no address. The text is kept: clone
// it first where it is part of a batch.
func TextID(s string) ID { return ID{text: s} }

// ParseID reads an address, a network ("192.0.2.0/24", "192.0.2.0/255.255.255.0"
// is not taken) or, where it is neither, keeps the text as it is.
func ParseID(s string) ID {
	if a, err := netip.ParseAddr(s); err == nil {
		return AddrID(a)
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		return NetID(p)
	}
	return TextID(s)
}

// IsZero says whether the ID is nobody's.
func (id ID) IsZero() bool { return id == ID{} }

// Addr returns the address where the ID is a single one.
func (id ID) Addr() (netip.Addr, bool) {
	return id.prefix.Addr(), id.prefix.IsValid() && id.prefix.IsSingleIP()
}

// Prefix returns the network (of one address: /32 or /128) where the ID is no text.
func (id ID) Prefix() (netip.Prefix, bool) { return id.prefix, id.prefix.IsValid() }

// AppendTo appends the ID as people write it: a single address without its length.
func (id ID) AppendTo(b []byte) []byte {
	if !id.prefix.IsValid() {
		return append(b, id.text...)
	}
	if id.prefix.IsSingleIP() {
		return id.prefix.Addr().AppendTo(b)
	}
	return id.prefix.AppendTo(b)
}

// String is AppendTo as a string.
func (id ID) String() string { return string(id.AppendTo(nil)) }

// Field is a named group that a failregex captured, in lower case, as the log has it.
type Field struct {
	Name  string // lives as long as the filter
	Value []byte // valid until the batch is reset
}

// Failure is one failure that a filter found. Text, Fields and everything that
// they point to are valid until the batch they were found in is reset.
type Failure struct {
	Jail     *Jail
	ID       ID
	AtNanos  int64   // time in the log, nanoseconds since the epoch
	Count    int     // failures that it stands for, ≥ 1
	Attempts int     // lines that it was made of: its own and those of its session
	Line     int64   // number of the line in its input, from 1
	Regex    int     // index in failregex
	Text     []byte  // the line as it was matched, without its end
	Fields   []Field // only where the matcher was asked for them
}

// Ban is a decision: who, by which jail, from when until when.
type Ban struct {
	Jail       *Jail
	ID         ID
	AtNanos    int64 // log time of the failure that caused it; the clock's for a command
	UntilNanos int64 // Permanent: does not end
	Failures   int   // what the window had counted; 0 for a command
	Restored   bool  // from the store, not new

	Ticket *Ticket // what else is known of it; nil for a command
}

// Ticket is what led to a ban, for those who tell others of it: actions, the
// store. It is never changed once it is made.
type Ticket struct {
	Matches []string          // the last Policy.MaxMatches lines, the newest last
	Fields  map[string]string // what a failregex captured, merged over the failures: the first one's value holds, as in fail2ban
	Count   int               // which ban of this ID it is, from 1 (bantime.increment)
	Grown   *Grown            // nil: the ban lasts as long as any of the jail
}

// Grown is what bantime.increment made of a ban of somebody who was banned before.
type Grown struct {
	Before    int           // bans before this one
	LastNanos int64         // when the last of them began
	From, To  time.Duration // how long this one would have lasted, and does
	Again     bool          // of a line that is not newer than the last ban: it was read before
}

// Verb is what an Order asks a sink to do.
type Verb uint8

// The verbs. Each is idempotent: to ban the banned or to unban the free is done already.
const (
	VerbBan     Verb = iota + 1 // the address is dropped until Ban.UntilNanos
	VerbProlong                 // a ban in force ends at the (later or earlier) Ban.UntilNanos
	VerbUnban                   // the address is free
)

// String returns the verb as decisions are printed.
func (v Verb) String() string {
	switch v {
	case VerbBan:
		return "ban"
	case VerbProlong:
		return "prolong"
	case VerbUnban:
		return "unban"
	}
	return "invalid"
}

// Order is one thing that the ledger wants done. The sink sets Err where it
// could not do it; nil means that it is done: for nftables, in the kernel.
type Order struct {
	Verb Verb
	Ban  Ban
	Err  error
}

// Source reads one or more inputs and feeds their lines as batches.
type Source interface {
	// Run reads until its inputs end or ctx is done, which is how a source is
	// stopped and no error. Run does not close the feed. It blocks where the
	// feed has no free batch: that is the back-pressure.
	Run(ctx context.Context, feed *Feed) error
}

// Matcher finds the failures in the batches of one input. It is used by one
// goroutine at a time and keeps what the lines before taught it (dates,
// sessions). What it appends points into b and is valid until b is reset.
type Matcher interface {
	Match(dst []Failure, b *Batch) []Failure
}

// Splitter is a Matcher with two halves: a stateless one that may run on several
// goroutines over the batches of a big input, and an ordered one that sees only
// what matched. Both together are Match.
type Splitter interface {
	Matcher
	// Bulk says whether the batch can be split, and is worth it.
	Bulk(b *Batch) bool
	// Prepare is called for each bulk batch, in order, before Scan. settled says
	// that every batch before it has been settled; where that is needed and not
	// so it returns false, and is called again when it is.
	Prepare(b *Batch, settled bool) bool
	// Scan is the stateless half. Workers, numbered from 0, may scan at once,
	// each one batch at a time.
	Scan(worker int, b *Batch) Found
	// Settle is the ordered half, called in the order of the batches, once for
	// each; what it appends is valid until b is reset.
	Settle(dst []Failure, b *Batch, found Found) []Failure
	// MatchBulk is Scan and Settle in one, where only one goroutine scans.
	MatchBulk(dst []Failure, b *Batch) []Failure
}

// Found is what a Splitter's Scan hands to its Settle.
type Found any

// Sink carries out orders. It is used by one goroutine at a time.
type Sink interface {
	// Apply carries out the orders in order and sets Err of each that it could
	// not. now (nanoseconds since the epoch) is the clock that a ban's remaining
	// time is reckoned from. The orders belong to the caller.
	Apply(ctx context.Context, nowNanos int64, orders []Order)
}
