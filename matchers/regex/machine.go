package regex

// Machine is the scratch memory of searches. The zero Machine is ready. It
// belongs to one goroutine at a time and serves any number of Regexps; it
// grows to what they need (at most about 50 MiB, after a hostile line) and is
// reused, so that a search allocates nothing once the Machine is warm.
type Machine struct {
	slots []int32 // captures, then progress slots
	stack []frame
	joins []int32 // fast machine: where each opJoin of the program was last
	needs []need  // fast machine: what is known of the literals of program.needs
	fuel  int
	tail  int // where the white space at the end of the text begins; -1: not looked up yet

	rows     []int32 // memo: 1 and the number of each state's row; 0: it has none
	rowWords int
	full     bool // there was no room for a row

	visited []uint64 // memo: states that were entered
	success []uint64 // memo: states of sub-programs that lead to their match
	trail   []uint64 // states of sub-programs entered on the way to here
	depth   int      // sub-programs that run within each other
	view    *views   // what can match where, for the search at hand; nil: nothing is known
	ids     []uint16 // of the view, by position

	// views are kept from search to search, all dropped when they grow too large.
	views     map[*program]*views
	viewBytes int
	steps     int
}

// frame is a way back. For pc ≥ 0 it is a choice of that instruction at pos,
// lim saying how far it has been tried; for pc < 0 the slot ^pc had the value pos.
type frame struct {
	pc, pos, lim int32
	trail        int32
}

// prepare makes room for the slots of p and unsets them.
func (m *Machine) prepare(p *program) {
	if cap(m.slots) < p.slots {
		m.slots = make([]int32, p.slots)
	}
	m.slots = m.slots[:p.slots]
	m.clear()
	if cap(m.joins) < p.joins {
		m.joins = make([]int32, p.joins)
	}
	m.joins = m.joins[:p.joins]
	unset(m.joins)
	if len(p.needs) > 0 {
		m.prepareNeeds(p)
	}
}

// prepareNeeds forgets what is known of literals.
func (m *Machine) prepareNeeds(p *program) {
	if cap(m.needs) < len(p.needs) {
		m.needs = make([]need, maxNeeds)
	}
	m.needs = m.needs[:len(p.needs)]
	for n := range m.needs {
		m.needs[n] = need{from: 1}
	}
}

// clear unsets all slots.
func (m *Machine) clear() { unset(m.slots) }

// unset makes all of s -1.
func unset(s []int32) {
	for len(s) > 0 {
		s = s[copy(s, minusOnes[:]):]
	}
}

var minusOnes = func() (s [32]int32) {
	for i := range s {
		s[i] = -1
	}
	return s
}()

// save sets a slot and, where there is a way back, notes its old value.
func (m *Machine) save(slot int32, pos int) {
	if len(m.stack) > 0 {
		m.stack = append(m.stack, frame{pc: ^slot, pos: m.slots[slot]})
	}
	m.slots[slot] = int32(pos)
}

// unwind undoes what was noted above base and drops it.
func (m *Machine) unwind(base int) {
	for i := len(m.stack) - 1; i >= base; i-- {
		if f := &m.stack[i]; f.pc < 0 {
			m.slots[^f.pc] = f.pos
		}
	}
	m.stack = m.stack[:base]
}

// commit drops the choices above base and keeps what was noted of slots.
func (m *Machine) commit(base int) {
	keep := base
	for i := base; i < len(m.stack); i++ {
		if m.stack[i].pc < 0 {
			m.stack[keep] = m.stack[i]
			keep++
		}
	}
	m.stack = m.stack[:keep]
}

// groupSet says whether group is set. While it is open again, it counts as set
// where it was closed no earlier than it was opened (as CPython has it).
func (m *Machine) groupSet(group int32) bool {
	start, stop := m.slots[2*group], m.slots[2*group+1]
	return start >= 0 && stop >= start
}

// outcome is how a run ended.
type outcome uint8

const (
	failed outcome = iota
	matched
	exhausted // out of fuel, steps or memory
)
