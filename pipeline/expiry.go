package pipeline

// expiry is a heap of the bans that end, the next end first. Permanent bans
// are not in it. 100,000 bans cost nothing until the first of them ends.
//
// A ban keeps its place until the end that it had when it was put there has come.
// Most of those that are prolonged are prolonged again before, by whoever is
// banned and goes on; and one that is no longer in force is looked at once more, so
// that no ban need know its place, which each move in the heap would have to
// write to memory that is in no cache.
type expiry struct {
	heap []ending
	gone int // bans in it that are no longer in force
}

// ending is a ban in the heap and its place there, the end that it had: beside
// the pointer, as most comparisons are with bans that are in no cache.
type ending struct {
	dueNanos int64
	held     *held
}

// fanOut is the number of ends below one in the heap: with four a way down is
// half as long as with two, and what is compared there stands in a line of memory or two.
const fanOut = 4

// minGone is the number of bans no longer in force from which on the heap may be made anew.
const minGone = 1000

// add puts a ban where its end belongs, unless it has a place: an end only
// becomes later.
func (e *expiry) add(h *held) {
	if h.ending || h.ban.UntilNanos == Permanent {
		return
	}
	h.ending = true
	x := ending{h.ban.UntilNanos, h}
	e.heap = append(e.heap, x)
	i := len(e.heap) - 1
	for i > 0 {
		above := (i - 1) / fanOut
		if e.heap[above].dueNanos <= x.dueNanos {
			break
		}
		e.heap[i] = e.heap[above]
		i = above
	}
	e.heap[i] = x
}

// ended takes out a ban that ended before nowNanos and returns it, nil if there
// is none.
func (e *expiry) ended(nowNanos int64) *held {
	for e.next() < nowNanos {
		h := e.heap[0].held
		e.pop()
		switch {
		case h.gone:
			e.gone--
		case h.ban.UntilNanos < nowNanos:
			return h
		default: // it was prolonged
			e.add(h)
		}
	}
	return nil
}

// pop takes the next end out.
func (e *expiry) pop() {
	e.heap[0].held.ending = false
	last := len(e.heap) - 1
	x := e.heap[last]
	e.heap[last] = ending{}
	if e.heap = e.heap[:last]; last > 0 {
		e.down(0, x)
	}
}

// down puts x where it belongs at or below the place i, whatever is there.
func (e *expiry) down(i int, x ending) {
	for {
		first := fanOut*i + 1
		if first >= len(e.heap) {
			break
		}
		least := first
		for j := first + 1; j < min(first+fanOut, len(e.heap)); j++ {
			if e.heap[j].dueNanos < e.heap[least].dueNanos {
				least = j
			}
		}
		if e.heap[least].dueNanos >= x.dueNanos {
			break
		}
		e.heap[i] = e.heap[least]
		i = least
	}
	e.heap[i] = x
}

// remove notes that a ban is no longer in force. Where that is half of the heap
// it is made anew without them.
func (e *expiry) remove(h *held) {
	if !h.ending {
		return
	}
	if e.gone++; 2*e.gone <= len(e.heap) || e.gone < minGone {
		return
	}
	left := e.heap[:0]
	for _, x := range e.heap {
		if !x.held.gone {
			left = append(left, x)
		}
	}
	clear(e.heap[len(left):])
	e.heap, e.gone = left, 0
	for i := len(left) - 1; i >= 0; i-- {
		e.down(i, left[i])
	}
}

// next returns a time before which no ban ends, Permanent if none does.
func (e *expiry) next() int64 {
	if len(e.heap) == 0 {
		return Permanent
	}
	return e.heap[0].dueNanos
}
