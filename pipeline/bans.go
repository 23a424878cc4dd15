package pipeline

import "iter"

// bans are the bans in force by jail and ID. Those of addresses and networks
// stand in a map of their own, whose keys are hashed and compared as plain
// memory; a banKey's take twice the time, and few logs have IDs that are texts.
type bans struct {
	nets  map[netKey]*held
	texts map[banKey]*held
}

func newBans() bans {
	return bans{nets: make(map[netKey]*held), texts: make(map[banKey]*held)}
}

// get returns the ban of a jail's ID, nil where there is none.
func (b *bans) get(j *Jail, id ID) *held {
	if net, ok := id.Prefix(); ok {
		return b.nets[netKeyOf(j, net)]
	}
	return b.texts[banKey{j, id}]
}

// set enters the ban of a jail's ID.
func (b *bans) set(j *Jail, id ID, h *held) {
	if net, ok := id.Prefix(); ok {
		b.nets[netKeyOf(j, net)] = h
	} else {
		b.texts[banKey{j, id}] = h
	}
}

// remove takes the ban of a jail's ID out.
func (b *bans) remove(j *Jail, id ID) {
	if net, ok := id.Prefix(); ok {
		delete(b.nets, netKeyOf(j, net))
	} else {
		delete(b.texts, banKey{j, id})
	}
}

// len returns the number of bans.
func (b *bans) len() int { return len(b.nets) + len(b.texts) }

// all yields every ban, in no order. It may be removed meanwhile.
func (b *bans) all() iter.Seq[*held] {
	return func(yield func(*held) bool) {
		for _, h := range b.nets {
			if !yield(h) {
				return
			}
		}
		for _, h := range b.texts {
			if !yield(h) {
				return
			}
		}
	}
}

// held is a ban in the ledger.
type held struct {
	ban        Ban
	prolonged  *Ban     // the decision that its end comes from, where it is another one
	totals     *Totals  // of its jail
	refused    *Flusher // whose sink could not carry out the last order
	err        error    // and why
	sinceNanos int64    // enforced since then
	waiting    int32    // orders that enforcing sinks have not answered
	leaked     int      // failures while it was enforced
	leaks      int
	enforced   bool
	gone       bool // no longer in the ledger; an order to unban may be under way
	ending     bool // in the expiry heap
}

// decided returns the decision that the ban's end comes from: what sinks are told.
func (h *held) decided() *Ban {
	if h.prolonged != nil {
		return h.prolonged
	}
	return &h.ban
}

// prolong gives the ban the end of a later decision.
func (h *held) prolong(b Ban) {
	h.ban.UntilNanos = b.UntilNanos
	if h.prolonged == nil {
		h.prolonged = new(Ban)
	}
	*h.prolonged = b
}
