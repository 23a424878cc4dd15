package pipeline

import "container/heap"

// expiry is a heap of the bans that end, the next end first. Permanent bans
// are not in it. 100,000 bans cost nothing until the first of them ends.
//
// A ban that is prolonged keeps its place until its old end has come: most are
// prolonged again before, by whoever is banned and goes on.
type expiry []ending

// ending is a ban in the heap, with its place there: the end that it had when it
// was put there, beside the pointer, as most comparisons are with bans that are
// in no cache.
type ending struct {
	dueNanos int64
	held     *held
}

var _ heap.Interface = (*expiry)(nil)

func (e expiry) Len() int           { return len(e) }
func (e expiry) Less(i, j int) bool { return e[i].dueNanos < e[j].dueNanos }

func (e expiry) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].held.index, e[j].held.index = i, j
}

// Push is heap.Interface's; use set.
func (e *expiry) Push(x any) {
	h := x.(*held)
	h.index = len(*e)
	*e = append(*e, ending{h.ban.UntilNanos, h})
}

// Pop is heap.Interface's; use remove.
func (e *expiry) Pop() any {
	last := len(*e) - 1
	h := (*e)[last].held
	(*e)[last] = ending{}
	*e = (*e)[:last]
	h.index = -1
	return h
}

// set puts a ban where its end belongs, after it was made or its end has changed.
func (e *expiry) set(h *held) {
	until := h.ban.UntilNanos
	switch {
	case until == Permanent:
		e.remove(h)
	case h.index < 0:
		heap.Push(e, h)
	case until < (*e)[h.index].dueNanos:
		e.move(h.index)
	}
}

// move puts the ban at i where its end belongs.
func (e *expiry) move(i int) {
	(*e)[i].dueNanos = (*e)[i].held.ban.UntilNanos
	heap.Fix(e, i)
}

// ended returns a ban that ended before nowNanos, nil if there is none.
func (e *expiry) ended(nowNanos int64) *held {
	for e.next() < nowNanos {
		if h := (*e)[0].held; h.ban.UntilNanos < nowNanos {
			return h
		}
		e.move(0)
	}
	return nil
}

// remove takes a ban out, if it is in.
func (e *expiry) remove(h *held) {
	if h.index >= 0 {
		heap.Remove(e, h.index)
	}
}

// next returns a time before which no ban ends, Permanent if none does.
func (e expiry) next() int64 {
	if len(e) == 0 {
		return Permanent
	}
	return e[0].dueNanos
}
