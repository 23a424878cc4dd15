package service

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/config/formula"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// maxKnown is the number of IDs that a history remembers.
const maxKnown = 1_000_000

// history is bantime.increment: who was banned before is banned for longer and
// after fewer failures. It is kept in memory, because it is asked at each
// failure; the store has it too. Jails without increment cost it nothing.
type history struct {
	active atomic.Bool // some jail increments

	mu    sync.Mutex
	rules map[*pipeline.Jail]*increment
	over  bool // some jail counts the bans of all
	known map[knownKey]past
	names []string // of the jails in known
	rnd   func() float64
	log   banLog // told of failures that count for more
}

// knownKey names what is known of an ID in a jail, which may not run any more.
type knownKey struct {
	jail string
	id   pipeline.ID
}

// past is what is known of an ID. Times are in whole seconds, as in fail2ban.
type past struct {
	count  int32
	at     int64 // when the last ban began
	length int64 // of it; −1: permanent
}

var _ pipeline.History = (*history)(nil)

func newHistory(log banLog) *history {
	return &history{log: log, rules: map[*pipeline.Jail]*increment{}, known: map[knownKey]past{}, rnd: rand.Float64}
}

// increment is a jail's bantime.increment, compiled.
type increment struct {
	config.Increment
	formula, factor *formula.Expr // nil: the default
}

// newIncrement compiles a jail's; nil where it has none.
func newIncrement(c *config.Increment) (*increment, error) {
	if !c.Enabled {
		return nil, nil
	}
	inc := &increment{Increment: *c}
	var err error
	if c.Formula.IsSet() {
		if inc.formula, err = formula.Parse(c.Formula.Text, config.FormulaNames...); err != nil {
			return nil, fmt.Errorf("bantime.formula: %w", err)
		}
	}
	if c.Factor.IsSet() {
		if inc.factor, err = formula.Parse(c.Factor.Text); err != nil {
			return nil, fmt.Errorf("bantime.factor: %w", err)
		}
	}
	return inc, nil
}

// sameIncrement says whether two jails increment by the same texts.
func sameIncrement(a, b *config.Jail) bool {
	x, y := a.Increment, b.Increment
	same := x.Factor.Text == y.Factor.Text && x.Formula.Text == y.Formula.Text
	x.Factor, x.Formula, y.Factor, y.Formula = config.Value{}, config.Value{}, config.Value{}, config.Value{}
	return same && reflect.DeepEqual(x, y)
}

// length returns how long, in seconds, somebody is banned who was banned count
// times before and would be for banTime; never less. rnd is in [0, 1).
func (inc *increment) length(banTime float64, count int, rnd float64) (float64, error) {
	factor, err := formula.Int(1), error(nil)
	if inc.factor != nil {
		if factor, err = inc.factor.Eval(nil); err != nil {
			return banTime, fmt.Errorf("bantime.factor: %w", err)
		}
	}
	var out float64
	switch {
	case len(inc.Multipliers) > 0:
		out = banTime * factor.Float64() * float64(inc.Multipliers[min(count, len(inc.Multipliers)-1)])
	case inc.formula != nil:
		n, err := inc.formula.Eval(map[string]formula.Number{"ban.Time": number(banTime), "ban.Count": formula.Int(int64(count)), "banFactor": factor})
		if err != nil {
			return banTime, fmt.Errorf("bantime.formula: %w", err)
		}
		out = max(banTime, n.Float64())
	default:
		out = max(banTime, banTime*float64(int64(1)<<min(count, 20))*factor.Float64())
	}
	if inc.MaxTime > 0 {
		out = min(out, inc.MaxTime.Seconds())
	}
	out += rnd * inc.RndTime.Seconds()
	if !(out > banTime) { // NaN too
		return banTime, nil
	}
	return out, nil
}

// number is a time as fail2ban's formulas get it.
func number(seconds float64) formula.Number {
	if seconds == math.Trunc(seconds) && math.Abs(seconds) < 1<<53 {
		return formula.Int(int64(seconds))
	}
	return formula.Float(seconds)
}

// setJails says which jails increment.
func (h *history) setJails(jails []*jail) {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.rules)
	h.over = false
	for _, j := range jails {
		if j.increment != nil {
			h.rules[j.identity] = j.increment
			h.over = h.over || j.increment.OverallJails
		}
	}
	h.active.Store(len(h.rules) > 0)
}

// wants says whether what is known of a jail's IDs matters to somebody.
func (h *history) wants(j *pipeline.Jail) bool { return h.over || h.rules[j] != nil }

// Weigh implements pipeline.History: a failure of somebody who was banned once,
// twice, three times… counts 2, 3, 5, 9…, maxretry at most.
func (h *history) Weigh(f *pipeline.Failure) {
	if !h.active.Load() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rules[f.Jail] == nil {
		return
	}
	p, known := h.known[knownKey{f.Jail.Name, f.ID}]
	// What is not newer than the ban was counted for it.
	if !known || f.AtNanos/int64(time.Second) <= p.at {
		return
	}
	maxRetry := max(f.Jail.Policy().MaxRetry, 1)
	weight := 1<<min(p.count, 20)/2 + 1
	if more := min(weight, maxRetry) - 1; more > 0 {
		f.Count += more
		h.log.bad(f, int(p.count), weight, maxRetry)
	}
}

// Decide implements pipeline.History. A ban by command for a time of its own is
// counted and not prolonged, and a permanent one cannot be.
func (h *history) Decide(b *pipeline.Ban) {
	if !h.active.Load() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.wants(b.Jail) {
		return
	}
	rule, policy := h.rules[b.Jail], b.Jail.Policy()
	own, had := h.known[knownKey{b.Jail.Name, b.ID}]
	sum := own
	if rule != nil && rule.OverallJails {
		sum = h.sum(b.ID)
	}
	at := b.AtNanos / int64(time.Second)
	again := sum.count > 0 && at <= sum.at // of a line that was read before
	var grown *pipeline.Grown
	if rule != nil && sum.count > 0 && policy.BanTime >= 0 && b.UntilNanos == policy.Until(b.AtNanos) {
		// A formula that cannot be evaluated was refused with the configuration.
		seconds, _ := rule.length(policy.BanTime.Seconds(), int(sum.count), h.rnd())
		b.UntilNanos = untilOf(b.AtNanos, seconds)
		grown = &pipeline.Grown{Before: int(sum.count), LastNanos: sum.at * int64(time.Second), From: policy.BanTime,
			To: time.Duration(b.UntilNanos - b.AtNanos), Again: again}
	}
	count := sum.count
	if !again {
		count = min(sum.count, math.MaxInt32-1) + 1
	}
	if b.Ticket != nil || count > 1 {
		var t pipeline.Ticket
		if b.Ticket != nil {
			t = *b.Ticket
		}
		t.Count, t.Grown = int(count), grown
		b.Ticket = &t
	}
	length := int64(-1)
	if b.UntilNanos != pipeline.Permanent {
		length = (b.UntilNanos - b.AtNanos) / int64(time.Second)
	}
	if had || len(h.known) < maxKnown {
		h.enter(knownKey{b.Jail.Name, b.ID}, past{count: count, at: at, length: length})
	}
}

// untilOf returns the end of a ban of so many seconds.
func untilOf(atNanos int64, seconds float64) int64 {
	if seconds >= float64(pipeline.Permanent-atNanos)/float64(time.Second) {
		return pipeline.Permanent
	}
	return atNanos + int64(seconds*float64(time.Second))
}

// enter notes what is known of an ID in a jail.
func (h *history) enter(k knownKey, p past) {
	h.known[k] = p
	for _, name := range h.names {
		if name == k.jail {
			return
		}
	}
	h.names = append(h.names, k.jail)
}

// sum returns what is known of an ID over all jails.
func (h *history) sum(id pipeline.ID) (all past) {
	for _, name := range h.names {
		if p, ok := h.known[knownKey{name, id}]; ok {
			all.count = min(all.count, math.MaxInt32-p.count) + p.count
			all.at = max(all.at, p.at)
		}
	}
	return all
}

// Forget implements pipeline.History.
func (h *history) Forget(j *pipeline.Jail, id pipeline.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.known, knownKey{j.Name, id})
}

// purge drops what the store's purge drops: nothing of the permanently banned.
func (h *history) purge(nowNanos int64, age time.Duration) {
	before := (nowNanos - int64(age)) / int64(time.Second)
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, p := range h.known {
		if p.at < before && p.length != -1 && (p.length > math.MaxInt64/8 || p.at+3*p.length < before) {
			delete(h.known, k)
		}
	}
}

func (h *history) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.known)
}

// recall reads what the store knows of IDs that were banned before, as far as
// the jails ask for it.
func (s *Service) recall(ctx context.Context, jails []*jail) {
	h := s.history
	if !h.active.Load() || s.keep.store == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var only []string // nil: all jails'
	if !h.over {
		for _, j := range jails {
			if h.rules[j.identity] != nil {
				only = append(only, j.config.Name)
			}
		}
		if only == nil {
			return
		}
	}
	err := s.keep.store.EachBanned(ctx, only, func(jail string, id pipeline.ID, count int, atNanos int64, seconds int64) {
		if len(h.known) < maxKnown {
			h.enter(knownKey{jail, id}, past{int32(min(count, math.MaxInt32)), atNanos / int64(time.Second), seconds})
		}
	})
	if err != nil {
		s.log.Error("stored history cannot be read", "problem", err)
	}
}
