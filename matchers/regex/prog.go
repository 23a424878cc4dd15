package regex

// opcode says what an instruction does. Each goes on at inst.next unless it
// says otherwise; to fail is to go back to the last choice.
type opcode uint8

const (
	opFail      opcode = iota
	opMatch            // the pattern, or the sub-program of an opLook or opAtomic, has matched
	opLit              // the bytes of lit
	opClass            // one member of set
	opAlt              // the first of alts that leads to a match
	opLoop             // min to max members of set, in the manner of mode
	opSave             // slot x takes the position
	opClear            // slot x is unset
	opProgress         // where slot x is the position: on at y
	opAssert           // assertion x holds
	opLook             // lookaround: sub-program at x, going back width; negate
	opAtomic           // sub-program at x, once; on at y (opFail: none) where it fails
	opCond             // on at next where group x is set, else at y
	opBackref          // the text of group x
	opByte             // fast only: the byte x
	opSpaceEnd         // fast only: \s*$ before opMatch
	opLookSet          // fast only: a lookaround of one member of set
	opLookLit          // fast only: a lookaround of lit
	opLoopKeep         // fast only: a greedy loop that never gives back
	opLoopLast         // fast only: all members of set that there are, the last one of them in sets[x]
	opJoin             // fast only: fails where it was at the same place before, see builder.join
	opLoopUntil        // fast only: a greedy or lazy loop over set that ends where lit starts; negate: never left before its end
	opNeed             // fast only: the literal needs[x] stands here or later
	opSteps            // fast only: the steps from x on
)

// inst is an instruction. Programs are graphs: the index of an instruction says
// nothing about when it runs. It is one cache line: what a candidate costs is
// mostly waiting for the instructions of rules that were long not run.
type inst struct {
	op     opcode
	mode   Mode
	fold   Fold
	negate bool
	behind bool
	next   int32
	x, y   int32
	min    int32 // opAlt: the number of its branches, and of its table
	max    int32 // -1: no bound
	state  int32 // opAlt, opLoop, memoised only: first of its states in the memo; x is what they depend on
	// Of an opLoop, fast only: the literal that it goes on with, if it does; y is
	// the offset of a byte of it that is likely rare.
	lit string
	set *set
	// Fast only: how next can start, for a loop; which branches the next byte
	// leaves, for a choice: ways and lists of its table are numbered by it.
	after *nextTable
}

// end is the index of the end of the text in tables over the next byte.
const end = 256

// nextTable says of each next byte, and of the end, whether a match is possible.
type nextTable [257]uint8

// The entries of a nextTable.
const (
	nextNo   = 0
	nextYes  = 1
	nextTail = 2 // only where nothing but white space follows up to the end of the text
)

// altTable has the branches that the next byte leaves possible: the byte's entry
// in inst.after is the number of their list.
type altTable struct {
	lists []altList
}

// altList is the branches to try, in order. A branch that is a choice itself
// is replaced by its branches.
type altList struct {
	first int32 // 0 (opFail) where none is possible
	rest  []int32
	// second, where not nil, has the number of the list that the byte after the
	// next one leaves of this one.
	second *nextTable
}

// program is what a machine runs.
type program struct {
	insts    []inst
	branches [][]int32  // of choices, by number
	alts     []altTable // of choices, fast only
	sets     []*set     // of opLoopLast and of steps
	steps    []step
	ways     []int32      // of stepAlt
	seconds  []*nextTable // of stepAlt
	needs    []string     // of opNeed
	lits     []string     // of stepLit
	start    int32

	slots  int // capture slots and progress slots
	groups int
	joins  int // opJoins, which are numbered by x
	// budget bounds the steps of the memoised machine where memory alone does
	// not make it linear; 0: no bound.
	budget int
	noMemo bool // a state is more than what the memo knows
	states int  // states a position, memoised only
	// bits are the lists of what states depend on, memoised only: a progress
	// slot, or ^group for a condition. The first is empty.
	bits  [][]int32
	graph func() *graph // memoised only; made when first needed
	looks bool          // has boolean lookarounds with sub-programs

	anchored bool       // a match can start at 0 only
	first    *nextTable // the bytes that a match can start with; nil: all
	prefix   string     // what every match starts with
}
