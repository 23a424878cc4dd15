package regex

import (
	"bytes"
	"sync"
	"sync/atomic"
)

// Regexp is a compiled pattern, safe for use by several goroutines at once,
// each with a Machine of its own.
type Regexp struct {
	syn     *Syntax // its Root is nil once Trim was called
	flags   Flags
	fast    atomic.Pointer[program] // see program
	making  sync.Mutex              // held while fast is made
	slow    func() *program         // made when first needed
	complex atomic.Int64
}

// Compile parses and compiles a pattern. Its errors are *Error.
func Compile(pattern string, flags Flags) (*Regexp, error) {
	syn, err := Parse(pattern, flags)
	if err != nil {
		return nil, err
	}
	re := &Regexp{syn: syn, flags: flags}
	if !surelyFits(syn.Root) {
		fast, err := build(syn, true)
		if err != nil {
			return nil, err
		}
		re.fast.Store(fast)
	}
	re.slow = sync.OnceValue(func() *program {
		p, err := build(re.Syntax(), false)
		if err != nil {
			return nil
		}
		return p
	})
	return re, nil
}

// program returns the program of the fast machine, which is made for the first
// search: of all rules of a machine's filters a log needs a tenth.
func (re *Regexp) program() *program {
	if p := re.fast.Load(); p != nil {
		return p
	}
	re.making.Lock()
	defer re.making.Unlock()
	if re.fast.Load() == nil {
		if p, err := build(re.Syntax(), true); err == nil { // surelyFits has said so
			re.fast.Store(p)
		}
	}
	return re.fast.Load()
}

// String returns the pattern.
func (re *Regexp) String() string { return re.syn.Pattern }

// Syntax returns the tree of the pattern.
func (re *Regexp) Syntax() *Syntax {
	syn := re.syn
	if syn.Root == nil {
		syn, _ = Parse(syn.Pattern, re.flags) // it was right before
	}
	return syn
}

// Trim lets go of the tree, which takes more memory than the program: Syntax,
// and the first search on either machine, parse the pattern again. To be called
// before the first search.
func (re *Regexp) Trim() {
	trimmed := *re.syn
	trimmed.Root = nil
	re.syn = &trimmed
}

// Groups returns the number of capture groups without group 0.
func (re *Regexp) Groups() int { return re.syn.Groups }

// Names returns the names of the groups, "" where a group has none; its
// length is Groups()+1. It must not be changed.
func (re *Regexp) Names() []string { return re.syn.Names }

// Group returns the number of the group of that name, or -1.
func (re *Regexp) Group(name string) int {
	for i, n := range re.syn.Names {
		if n == name && n != "" {
			return i
		}
	}
	return -1
}

// TooComplexCount returns how many searches ended as TooComplex.
func (re *Regexp) TooComplexCount() int64 { return re.complex.Load() }

// Result is how a search ended.
type Result uint8

// The results.
const (
	NoMatch Result = iota
	Match
	TooComplex // given up: out of steps or memory; to be taken as no match
)

// String returns the result in words.
func (r Result) String() string {
	switch r {
	case NoMatch:
		return "no match"
	case Match:
		return "match"
	case TooComplex:
		return "too complex"
	}
	return "invalid"
}

// Search finds the leftmost match that starts at byte at of text or after it,
// as Python's Pattern.search(text, at) does: ^ and lookbehinds see what stands
// before at. text is UTF-8 and shorter than 2 GiB.
//
// The slice has the byte offsets of start and end of group 0, group 1 and so
// on, -1 where a group is unset; it is valid until m is used again, and nil
// where nothing matches.
func (re *Regexp) Search(m *Machine, text []byte, at int) ([]int32, Result) {
	if at < 0 || at > len(text) {
		return nil, NoMatch
	}
	caps, out := re.searchFast(m, text, at)
	if out == exhausted {
		return re.searchViewed(m, text, at)
	}
	if out == matched {
		return caps, Match
	}
	return nil, NoMatch
}

// searchViewed is Search on the memoised machine with its views.
func (re *Regexp) searchViewed(m *Machine, text []byte, at int) ([]int32, Result) {
	caps, out := []int32(nil), exhausted
	if p := re.slow(); p != nil {
		caps, out = p.searchViewed(m, text, at)
	}
	return re.result(caps, out)
}

// result turns the outcome of a search on the memoised machine into its result.
func (re *Regexp) result(caps []int32, out outcome) ([]int32, Result) {
	switch out {
	case matched:
		return caps, Match
	case exhausted:
		re.complex.Add(1)
		return nil, TooComplex
	}
	return nil, NoMatch
}

// SearchSlow is Search on the memoised machine alone, without its views. It is for tests.
func (re *Regexp) SearchSlow(m *Machine, text []byte, at int) ([]int32, Result) {
	if at < 0 || at > len(text) {
		return nil, NoMatch
	}
	out := exhausted
	var caps []int32
	if p := re.slow(); p != nil {
		caps, out = p.searchSlow(m, text, at)
	}
	return re.result(caps, out)
}

// backCost is what it costs to go back, in units of fuel; a choice or a byte
// of a loop costs one.
const backCost = 4

// fuelFor is the fuel for n bytes. fail2ban's rules need 1.2 units a byte for
// 99 % of their log lines and at most 8; past that the memoised machine is the
// faster one, and the longer the text, the less there is to lose by it.
func fuelFor(n int) int { return backCost * (min(n, 4096) + n/8 + 512) }

// searchFast is Search on the fast machine; it may end as exhausted.
func (re *Regexp) searchFast(m *Machine, text []byte, at int) ([]int32, outcome) {
	p := re.program()
	m.prepare(p)
	m.stack = m.stack[:0]
	m.tail = -1
	m.fuel = fuelFor(len(text) - at)
	if p.anchored {
		if at > 0 || !p.canStart(text) {
			return nil, failed
		}
		return p.runAt(m, text, 0)
	}
	for pos := at; pos <= len(text); pos++ {
		if pos = p.candidate(text, pos); pos < 0 {
			break
		}
		if caps, out := p.runAt(m, text, pos); out != failed {
			return caps, out
		}
		m.clear()
	}
	return nil, failed
}

// runAt looks for a match that starts at pos.
func (p *program) runAt(m *Machine, text []byte, pos int) ([]int32, outcome) {
	stop, out := p.run(m, text, p.start, pos)
	if out != matched {
		return nil, out
	}
	m.slots[0], m.slots[1] = int32(pos), int32(stop)
	return m.slots[:2*(p.groups+1)], matched
}

// canStart says whether the first byte of text can start a match.
func (p *program) canStart(text []byte) bool {
	if p.first == nil {
		return true
	}
	if len(text) == 0 {
		return p.first[end] != nextNo
	}
	return p.first[text[0]] != nextNo
}

// candidate returns the next position at which a match can start, or -1.
func (p *program) candidate(text []byte, pos int) int {
	if p.prefix != "" {
		i := bytes.Index(text[pos:], []byte(p.prefix))
		if i < 0 {
			return -1
		}
		return pos + i
	}
	for ; pos < len(text); pos++ {
		if c := text[pos]; c&0xc0 != 0x80 && (p.first == nil || p.first[c] != nextNo) {
			return pos
		}
	}
	if pos > len(text) || p.first != nil && p.first[end] == nextNo {
		return -1
	}
	return pos
}
