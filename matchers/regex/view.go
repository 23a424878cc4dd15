package regex

import (
	"slices"
	"unicode/utf8"
)

// views says of each position of a text which instructions of a plain program
// can lead to a match from there. It is an automaton over the graph that runs
// from the end of the text to its start, one table look-up a code point; its
// states are sets of nodes, made when first met and kept for later texts. The
// search then takes no way that must fail, and where the start of the pattern
// holds nowhere, there is nothing to search for.
type views struct {
	g *graph
	// sets are the states, g.words words each; next has, for each state and
	// class of bytes, the state before such a code point: first for those
	// anywhere, then for one at the start of the text.
	sets  []uint64
	next  []uint16
	table []uint16 // states by hash, open addressing; viewAll is none
	cur   []uint64 // the state at work
	ids   []uint16 // by position of the text at hand
}

// viewAll is the state in which everything holds: nothing is known.
const viewAll = 0

// The bounds of views: states and bytes of one automaton, bytes of all those of a Machine.
const (
	maxViews        = 1 << 11
	maxViewBytes    = 1 << 19
	maxAllViewBytes = 1 << 23
	maxViewText     = 1 << 20 // longer texts do without
)

// viewLimit is how many states may be made for a text of n bytes; each costs
// some microseconds, as much as some hundred look-ups.
func viewLimit(n int) int { return 64 + n/128 }

// edge is what a state depends on besides the state after it.
type edge struct {
	c     byte // the first byte of the code point here
	end   bool // no code point here
	last  bool // the text ends after it
	start bool // the text starts here
}

// newViews makes the automaton of a graph.
func newViews(g *graph) *views {
	v := &views{g: g, cur: make([]uint64, g.words)}
	v.reset()
	return v
}

// reset drops all states but viewAll.
func (v *views) reset() {
	v.sets, v.next = v.sets[:0], v.next[:0]
	for range v.g.words {
		v.sets = append(v.sets, ^uint64(0))
	}
	v.next = slices.Grow(v.next, 2*v.g.classes)[:2*v.g.classes]
	clear(v.next)
	if v.table == nil {
		v.table = make([]uint16, 2*maxViews)
	}
	clear(v.table)
}

// size is the memory of the states in bytes, states is their number.
func (v *views) size() int   { return 8*cap(v.sets) + 2*cap(v.next) + 2*len(v.table) }
func (v *views) states() int { return len(v.sets) / v.g.words }

// has says whether node at holds in state id.
func (v *views) has(id uint16, at int32) bool {
	return v.sets[int(id)*v.g.words+int(at>>6)]>>(at&63)&1 != 0
}

// look goes over text, down to at, and notes the states in ids. Past a limit
// of new states, what is left of the text stays unknown.
func (v *views) look(text []byte, at int) {
	if v.states() > maxViews/2 || 8*len(v.sets)+2*len(v.next) > maxViewBytes/2 {
		v.reset()
	}
	if cap(v.ids) <= len(text) {
		v.ids = make([]uint16, len(text)+1)
	}
	v.ids = v.ids[:len(text)+1]
	clear(v.ids[:at]) // lookbehinds get there
	room := min(v.states()+viewLimit(len(text)), maxViews)
	width := 2 * v.g.classes
	pos := len(text)
	id := v.before(viewAll, edge{end: true, start: pos == 0})
	v.ids[pos] = id
	for pos > at {
		stop := pos
		pos--
		if text[pos] >= utf8.RuneSelf {
			pos = back(text, stop)
			clear(v.ids[pos:stop])
		}
		c := text[pos]
		column := int(v.g.class[c])
		if pos == 0 {
			column += v.g.classes
		}
		to := v.next[int(id)*width+column]
		if to == viewAll || stop == len(text) {
			if v.states() >= room || 8*len(v.sets)+2*len(v.next) > maxViewBytes {
				clear(v.ids[at:stop])
				return
			}
			to = v.before(id, edge{c: c, last: stop == len(text), start: pos == 0})
			if stop < len(text) {
				v.next[int(id)*width+column] = to
			}
		}
		id = to
		v.ids[pos] = id
	}
}

// before reckons the state before state id.
func (v *views) before(id uint16, e edge) uint16 {
	clear(v.cur)
	cur, nodes := v.cur, v.g.nodes
	if !e.end {
		for _, at := range v.g.takes {
			n := &nodes[at]
			if (n.op == nodeByte && n.c == e.c || n.op == nodeTake && n.set.tab[e.c] != setNo) && v.has(id, n.a) {
				cur[at>>6] |= 1 << (at & 63)
			}
		}
	}
	for more := true; more; more = more && v.g.cyclic {
		more = false
		for _, at := range v.g.order {
			if cur[at>>6]>>(at&63)&1 == 0 && nodes[at].holds(cur, e) {
				cur[at>>6] |= 1 << (at & 63)
				more = true
			}
		}
	}
	return v.intern()
}

// holds says whether a node holds by those at its own position.
func (n *node) holds(cur []uint64, e edge) bool {
	has := func(at int32) bool { return cur[at>>6]>>(at&63)&1 != 0 }
	switch n.op {
	case nodeMatch:
		return true
	case nodeOr:
		return has(n.a) || has(n.b)
	case nodeAny:
		for _, a := range n.alts {
			if has(a) {
				return true
			}
		}
	case nodeAnd:
		return has(n.a) && has(n.b)
	case nodeAndNot:
		return has(n.a) && !has(n.b)
	case nodeAssert:
		if !has(n.a) {
			return false
		}
		switch n.assert {
		case BeginText:
			return e.start
		case EndText:
			return e.end
		case EndBeforeLine:
			return e.end || e.last && e.c == '\n'
		case EndLine:
			return e.end || e.c == '\n'
		}
	}
	return false
}

// intern returns the state that is v.cur.
func (v *views) intern() uint16 {
	h := uint64(0)
	for _, w := range v.cur {
		h = (h ^ w) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	slot := int(h % uint64(len(v.table)))
	for ; v.table[slot] != viewAll; slot = (slot + 1) % len(v.table) {
		id := int(v.table[slot])
		if slices.Equal(v.sets[id*v.g.words:(id+1)*v.g.words], v.cur) {
			return uint16(id)
		}
	}
	id := uint16(v.states())
	v.table[slot] = id
	v.sets = append(v.sets, v.cur...)
	n := len(v.next)
	v.next = slices.Grow(v.next, 2*v.g.classes)[:n+2*v.g.classes]
	clear(v.next[n:])
	return id
}

// can says whether, as far as is known, the instruction pc can lead to a match at pos.
func (v *views) can(pc int32, pos int) bool {
	return v == nil || v.has(v.ids[pos], pc)
}

// viewsOf returns the automaton of p that m keeps.
func (m *Machine) viewsOf(p *program) *views {
	if m.views == nil || m.viewBytes > maxAllViewBytes {
		m.views, m.viewBytes = map[*program]*views{}, 0
	}
	v := m.views[p]
	if v == nil {
		v = newViews(p.graph())
		m.views[p] = v
		m.viewBytes += v.size()
	}
	return v
}
