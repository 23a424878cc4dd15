package pipeline

import (
	"math"
	"slices"
	"time"
)

// counter is what the window knows of one jail and address. The zero counter
// has seen nothing. It is kept in 32 bytes: 200,000 of them stand in memory
// under a flood.
type counter struct {
	first int64 // estimate: where its interval begins; exact: the oldest failure that counts
	last  int64 // the newest log time seen
	count int32
	beat  uint32 // number of the beat that it was last touched after
	more  *more  // nil where the key and the four above say everything
}

// more is what only some counters need.
type more struct {
	id    ID      // where it is no single address: it cannot be read back from the key
	times []int64 // exact only, ascending, count long; empty: all failures at first
}

// reset makes the counter begin anew for the same ID.
func (c *counter) reset() {
	if c.more != nil {
		c.more.times = nil
	}
	*c = counter{more: c.more}
}

// add counts n failures at time t. It reports false for a failure that is too
// late to count (exact only).
func (c *counter) add(p *Policy, t int64, n int) bool {
	n = min(n, math.MaxInt32/2)
	switch {
	case c.count == 0:
		c.first, c.last, c.count = t, t, int32(n)
	case p.Exact:
		return c.addExact(p, t, n)
	default:
		c.addEstimate(p, t, n)
	}
	return true
}

// addEstimate counts as fail2ban's FailTicket does. An interval runs from first
// to last. When a newer failure stretches it over findtime, the count so far
// is scaled down to what its rate would have given in findtime, and the
// interval is cut to that. An older failure counts, whenever it was.
func (c *counter) addEstimate(p *Policy, t int64, n int) {
	if c.more != nil {
		c.more.times = nil // from before a reload
	}
	if t > c.last {
		if start := t - int64(p.FindTime); c.first < start {
			// The float operations are those of fail2ban in their order, because
			// its half-even rounding of the result shows every bit.
			span := floatSeconds(t) - floatSeconds(c.first)
			c.count = int32(math.RoundToEven(float64(c.count) / span * p.FindTime.Seconds()))
			c.first = start
		}
		c.last = t
	}
	c.count = clampCount(int(c.count) + n)
}

// addExact counts the failures in [last − findtime, last], where last is the
// newest log time.
func (c *counter) addExact(p *Policy, t int64, n int) bool {
	last := max(c.last, t)
	start := last - int64(p.FindTime)
	if t < start {
		return false
	}
	if c.more == nil || len(c.more.times) != int(c.count) {
		if t == c.first && t == c.last {
			c.count = clampCount(int(c.count) + n)
			return true
		}
		c.spread(p)
	}
	times := c.more.times
	// More than maxretry of one moment decide nothing more.
	n = min(n, p.MaxRetry)
	at, _ := slices.BinarySearch(times, t+1)
	for range n {
		times = slices.Insert(times, at, t)
	}
	late, _ := slices.BinarySearch(times, start)
	times = slices.Delete(times, 0, late)
	c.more.times = times
	c.first, c.last, c.count = times[0], last, int32(len(times))
	return true
}

// spread writes the counter's failures out as times, for a policy that needs
// them one by one.
func (c *counter) spread(p *Policy) {
	if c.more == nil {
		c.more = new(more)
	}
	// A ban comes at maxretry: up to 16 no failure allocates again.
	times := make([]int64, 0, min(p.MaxRetry, 16))
	for range min(int(c.count), p.MaxRetry) {
		times = append(times, c.first)
	}
	c.more.times = times
}

// clampCount keeps a count inside its field.
func clampCount(n int) int32 { return int32(min(n, math.MaxInt32/2)) }

// floatSeconds returns a time as fail2ban has it.
func floatSeconds(nanos int64) float64 {
	return float64(nanos/int64(time.Second)) + float64(nanos%int64(time.Second))/1e9
}
