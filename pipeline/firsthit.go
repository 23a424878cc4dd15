package pipeline

import "time"

// firstHits remembers the failing addresses of one shard for which its set has
// no room, so that the second failure of an address finds the first one. An
// address costs one word here where an entry costs 150 bytes: a flood of
// addresses that fail once passes through without moving an entry, and a slow
// attacker is found again when it comes back.
//
// A word holds 39 bits of the address's keyed hash, up to 7 failures and the
// time of the first one in whole seconds, rounded down:
//
//	63        25 24   22 21              0
//	| hash      | count | seconds mod 2^22 |
//
// With the bits that chose the shard and the bucket, some 58 bits of the hash
// decide; the secret in it is drawn anew by each process, so that nobody can
// aim at another's word. What is forgotten (overwritten, count above 7, rounded
// time) can only make a count too low, never too high.
//
// Buckets are of 8 words, one cache line. A key may stand in two of them, and
// the oldest word of both makes room: with one bucket to choose from, a table
// half full of newer words had already lost 1 of 20 to full buckets; with two
// it loses next to none until it is full, and then the oldest.
//
// The zero value is an empty table without memory. It is guarded by its shard's lock.
type firstHits struct {
	words []uint64
	swept int64 // seconds: when words that had grown too old were last cleared
}

const (
	bucketWords = 8

	hitTimeBits  = 22
	hitTimeMask  = 1<<hitTimeBits - 1
	hitCountBits = 3
	hitCountMax  = 1<<hitCountBits - 1
	hitHashShift = hitTimeBits + hitCountBits
	hitHashMask  = 1<<(64-hitHashShift) - 1

	// A word is cleared when it is older than hitMaxAge (12 days), long before
	// the seconds wrap and make it look young again.
	hitMaxAge   = 1 << (hitTimeBits - 2)
	hitSweepGap = hitMaxAge / 2
)

// buckets returns the two buckets of hash h, which may be the same one. The
// high bits of h have chosen the shard and its low ones stand in the word.
func (t *firstHits) buckets(h uint64) (a, b []uint64) {
	n := uint64(len(t.words) / bucketWords)
	m := h * 0x9e3779b97f4a7c15
	i, j := (m>>32)*n>>32, (m&0xffffffff)*n>>32
	return t.words[i*bucketWords:][:bucketWords], t.words[j*bucketWords:][:bucketWords]
}

// take removes what is known of hash h: the time of its first failure and how
// many there were. It reports false if that is more than findtime before
// atNanos, or nothing.
func (t *firstHits) take(h uint64, atNanos int64, findtime time.Duration) (firstNanos int64, count int, ok bool) {
	now := seconds(atNanos)
	t.sweep(now)
	w := t.remove(h)
	age := hitAge(w, now)
	if w == 0 || age > int64(findtime/time.Second) {
		return 0, 0, false
	}
	return (now - age) * int64(time.Second), int(w >> hitTimeBits & hitCountMax), true
}

// remove forgets hash h and returns its word, 0 if there was none.
func (t *firstHits) remove(h uint64) uint64 {
	if t.words == nil {
		return 0
	}
	a, b := t.buckets(h)
	for _, bucket := range [2][]uint64{a, b} {
		for i, w := range bucket {
			if w>>hitHashShift == h&hitHashMask && w != 0 {
				bucket[i] = 0
				return w
			}
		}
	}
	return 0
}

// put remembers count failures of hash h, the first at firstNanos, when it is
// nowNanos. It reports whether something younger than findtime was lost for
// it: the word that it took the place of.
func (t *firstHits) put(h uint64, firstNanos int64, count int, nowNanos int64, findtime time.Duration) (lost bool) {
	now, first := seconds(nowNanos), seconds(firstNanos)
	t.sweep(now)
	if now-first > hitMaxAge {
		return now-first <= int64(findtime/time.Second)
	}
	a, b := t.buckets(h)
	victim, oldest := &a[0], int64(-hitMaxAge*2)
search:
	for _, bucket := range [2][]uint64{a, b} {
		for i, w := range bucket {
			if w == 0 {
				victim = &bucket[i]
				break search
			}
			if age := hitAge(w, now); age > oldest {
				victim, oldest = &bucket[i], age
			}
		}
	}
	lost = *victim != 0 && oldest <= int64(findtime/time.Second)
	// The count is at least 1, so that no word in use is 0.
	*victim = (h&hitHashMask)<<hitHashShift | uint64(min(max(count, 1), hitCountMax))<<hitTimeBits | uint64(first)&hitTimeMask
	return lost
}

// sweep clears the words that are older than hitMaxAge. It costs nothing but a
// comparison until half of that has passed since the last time.
func (t *firstHits) sweep(now int64) {
	gap := now - t.swept
	switch {
	case gap >= -hitSweepGap && gap <= hitSweepGap:
		return
	case gap > hitMaxAge || gap < -hitMaxAge:
		clear(t.words) // their seconds may have wrapped
	default:
		for i, w := range t.words {
			if hitAge(w, now) > hitMaxAge {
				t.words[i] = 0
			}
		}
	}
	t.swept = now
}

// hitAge returns how many seconds before now the word's failure was; negative if it
// was after it.
func hitAge(w uint64, now int64) int64 {
	age := (now - int64(w&hitTimeMask)) & hitTimeMask
	if age >= 1<<(hitTimeBits-1) {
		age -= 1 << hitTimeBits
	}
	return age
}

// seconds returns whole seconds since the epoch, rounded down.
func seconds(nanos int64) int64 {
	s := nanos / int64(time.Second)
	if nanos%int64(time.Second) < 0 {
		s--
	}
	return s
}
