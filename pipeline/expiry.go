package pipeline

import "container/heap"

// expiry is a heap of the bans that end, the next end first. Permanent bans
// are not in it. 100,000 bans cost nothing until the first of them ends.
type expiry []*held

var _ heap.Interface = (*expiry)(nil)

func (e expiry) Len() int           { return len(e) }
func (e expiry) Less(i, j int) bool { return e[i].ban.UntilNanos < e[j].ban.UntilNanos }

func (e expiry) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].index, e[j].index = i, j
}

// Push is heap.Interface's; use set.
func (e *expiry) Push(x any) {
	h := x.(*held)
	h.index = len(*e)
	*e = append(*e, h)
}

// Pop is heap.Interface's; use remove.
func (e *expiry) Pop() any {
	last := len(*e) - 1
	h := (*e)[last]
	(*e)[last] = nil
	*e = (*e)[:last]
	h.index = -1
	return h
}

// set puts a ban where its end belongs, after it was made or its end has changed.
func (e *expiry) set(h *held) {
	switch {
	case h.ban.UntilNanos == Permanent:
		e.remove(h)
	case h.index < 0:
		heap.Push(e, h)
	default:
		heap.Fix(e, h.index)
	}
}

// remove takes a ban out, if it is in.
func (e *expiry) remove(h *held) {
	if h.index >= 0 {
		heap.Remove(e, h.index)
	}
}

// next returns when the first ban ends, Permanent if none does.
func (e expiry) next() int64 {
	if len(e) == 0 {
		return Permanent
	}
	return e[0].ban.UntilNanos
}
