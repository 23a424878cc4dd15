package pipeline

import "iter"

// banKey names a ban: one jail's, of one ID.
type banKey struct {
	jail *Jail
	id   ID
}

// bans are the bans in force by jail and ID. Those of addresses and networks
// stand in a map of their own, whose keys are hashed and compared as plain
// memory; a banKey's take twice the time, and few logs have IDs that are texts.
type bans struct {
	nets  map[netBan]*held
	texts map[banKey]*held
}

// netBan is the key of a ban of an address or a network.
type netBan struct {
	entryKey        // the network's first address
	bits     uint64 // of it as IPv6
}

func newBans() bans {
	return bans{nets: make(map[netBan]*held), texts: make(map[banKey]*held)}
}

// netBanOf returns the key of a jail's ID; false where it is a text.
func netBanOf(j *Jail, id ID) (k netBan, ok bool) {
	if !id.prefix.IsValid() {
		return k, false
	}
	a := id.prefix.Addr()
	return netBan{keyOf(j, a), uint64(id.prefix.Bits() + 128 - a.BitLen())}, true
}

// get returns the ban of a jail's ID, nil where there is none.
func (b *bans) get(j *Jail, id ID) *held {
	if k, ok := netBanOf(j, id); ok {
		return b.nets[k]
	}
	return b.texts[banKey{j, id}]
}

// set enters the ban of a jail's ID.
func (b *bans) set(j *Jail, id ID, h *held) {
	if k, ok := netBanOf(j, id); ok {
		b.nets[k] = h
	} else {
		b.texts[banKey{j, id}] = h
	}
}

// remove takes the ban of a jail's ID out.
func (b *bans) remove(j *Jail, id ID) {
	if k, ok := netBanOf(j, id); ok {
		delete(b.nets, k)
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
