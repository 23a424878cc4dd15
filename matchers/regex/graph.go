package regex

import "unicode/utf8"

// graph is a plain program seen from its end: what has to hold at a position,
// and what at the one after it, for an instruction to lead to a match. It
// takes everything that it cannot tell from the following text for granted, so
// that what it rules out cannot match and what it lets pass may not either.
//
// Taken for granted are \b, ^ with Multiline, lookbehinds, conditions, what
// follows an atomic group, counts beyond maxCounted, and that a code point
// above ASCII is in a class where one with its first byte is.
type graph struct {
	// The nodes are the instructions by their number, then those of literals
	// and counted loops that have more than one. takes are the nodes that ask
	// for a code point, order are the others, each after those it asks for.
	nodes  []node
	takes  []int32
	order  []int32
	cyclic bool // order has nodes that ask for later ones
	words  int  // of a set of nodes

	classes int         // classes of bytes that all nodes take for the same
	class   [256]uint16 // of a first byte of a code point
	example [256]byte   // a byte of each class
}

// maxCounted is up to which count the graph knows the rounds of a loop.
const maxCounted = 16

// nodeOp says when a node holds.
type nodeOp uint8

const (
	nodeFail   nodeOp = iota
	nodeMatch         // always
	nodeTake          // the code point here starts with a byte of set, and a holds after it
	nodeByte          // the code point here starts with the byte c, and a holds after it
	nodeAny           // one of alts holds
	nodeOr            // a or b holds
	nodeAnd           // a and b hold
	nodeAndNot        // a holds, b does not
	nodeAssert        // a holds, and so does an assertion about the following text or the start
)

type node struct {
	op     nodeOp
	c      byte
	assert Assert
	a, b   int32
	set    *set
	alts   []int32
}

// newGraph makes the graph of a plain program.
func newGraph(p *program) *graph {
	g := &graph{nodes: make([]node, len(p.insts), len(p.insts)*2)}
	for pc := range p.insts {
		g.add(p, int32(pc))
	}
	g.words = (len(g.nodes) + 63) / 64
	g.sort()
	g.classify()
	return g
}

// more adds a node that is no instruction.
func (g *graph) more(n node) int32 {
	g.nodes = append(g.nodes, n)
	return int32(len(g.nodes) - 1)
}

// add makes the node of the instruction pc.
func (g *graph) add(p *program, pc int32) {
	i := &p.insts[pc]
	n := node{op: nodeOr, a: i.next, b: i.next}
	switch i.op {
	case opFail:
		n = node{op: nodeFail}
	case opMatch, opBackref:
		n = node{op: nodeMatch}
	case opLit:
		rest := i.next
		for lit := i.lit; ; {
			_, size := utf8.DecodeLastRuneInString(lit)
			lit = lit[:len(lit)-size]
			n = node{op: nodeByte, c: i.lit[len(lit)], a: rest}
			if lit == "" {
				break
			}
			rest = g.more(n)
		}
	case opClass:
		n = node{op: nodeTake, set: i.set, a: i.next}
	case opLoop:
		n = g.loop(i)
	case opAlt:
		n = node{op: nodeAny, alts: p.branches[i.min]}
	case opProgress, opCond:
		n.b = i.y
	case opAtomic:
		n.a, n.b = i.x, i.y
	case opAssert:
		switch Assert(i.x) {
		case BeginText, EndText, EndBeforeLine, EndLine:
			n = node{op: nodeAssert, assert: Assert(i.x), a: i.next}
		}
	case opLook:
		switch {
		case i.behind:
		case !i.negate:
			n = node{op: nodeAnd, a: i.next, b: i.x}
		case p.certain(i.x, map[int32]bool{}):
			n = node{op: nodeAndNot, a: i.next, b: i.x}
		}
	}
	g.nodes[pc] = n
}

// loop makes the nodes of a loop over one class: one for each round up to the
// last that is counted.
func (g *graph) loop(i *inst) node {
	low, high := min(i.min, maxCounted), i.max
	if high > maxCounted {
		high = -1
	}
	// leave is the loop after as many rounds as it counts.
	leave := node{op: nodeOr, a: i.next, b: i.next}
	if high < 0 {
		again := g.more(node{})
		round := g.more(node{op: nodeTake, set: i.set, a: again})
		leave.b = round
		g.nodes[again] = leave
		high = low
	}
	for n := high - 1; n >= 0; n-- {
		round := g.more(node{op: nodeTake, set: i.set, a: g.more(leave)})
		leave = node{op: nodeOr, a: round, b: round}
		if n >= low {
			leave.a = i.next
		}
	}
	return leave
}

// certain says whether the graph takes nothing for granted from pc on.
func (p *program) certain(pc int32, seen map[int32]bool) bool {
	if seen[pc] {
		return true
	}
	seen[pc] = true
	switch i := &p.insts[pc]; i.op {
	case opFail, opMatch:
		return true
	case opLit:
		for k := range len(i.lit) {
			if i.lit[k] >= utf8.RuneSelf {
				return false
			}
		}
		return p.certain(i.next, seen)
	case opClass, opLoop:
		for _, v := range i.set.tab {
			if v == setDecode {
				return false
			}
		}
		if i.op == opLoop && (i.mode == Possessive || max(i.min, i.max) > maxCounted) {
			return false
		}
		return p.certain(i.next, seen)
	case opAlt:
		for _, a := range p.branches[i.min] {
			if !p.certain(a, seen) {
				return false
			}
		}
		return true
	case opSave:
		return p.certain(i.next, seen)
	}
	return false
}

// asks calls f for the nodes that n asks for at its own position.
func (n *node) asks(f func(int32)) {
	switch n.op {
	case nodeAny:
		for _, a := range n.alts {
			f(a)
		}
	case nodeOr, nodeAnd, nodeAndNot:
		f(n.a)
		f(n.b)
	case nodeAssert:
		f(n.a)
	}
}

// sort finds an order in which nodes can be decided. It keeps its own stack,
// as a chain of nodes may be as long as the program.
func (g *graph) sort() {
	const (
		unseen = iota
		open
		done
	)
	state := make([]uint8, len(g.nodes))
	var stack []int32
	for root := range g.nodes {
		stack = append(stack[:0], int32(root))
		for len(stack) > 0 {
			at := stack[len(stack)-1]
			n := &g.nodes[at]
			switch state[at] {
			case done:
				stack = stack[:len(stack)-1]
				continue
			case open:
				state[at] = done
				stack = stack[:len(stack)-1]
				if n.op == nodeTake || n.op == nodeByte {
					g.takes = append(g.takes, at)
				} else if n.op != nodeFail {
					g.order = append(g.order, at)
				}
				continue
			}
			state[at] = open
			n.asks(func(a int32) {
				if state[a] == unseen {
					stack = append(stack, a)
				} else if state[a] == open {
					g.cyclic = true
				}
			})
		}
	}
}

// classify finds the classes of bytes.
func (g *graph) classify() {
	g.classes = 1
	seen := map[*set]bool{}
	split := func(has func(b int) bool) {
		parts := map[uint16]uint16{}
		for b := range 256 {
			if !has(b) {
				continue
			}
			old := g.class[b]
			if _, known := parts[old]; !known {
				parts[old] = uint16(g.classes)
				g.classes++
			}
			g.class[b] = parts[old]
		}
		// Where a class went over whole, its old number has no byte any more.
		g.renumber()
	}
	split(func(b int) bool { return b == '\n' })
	for _, at := range g.takes {
		n := &g.nodes[at]
		switch {
		case n.op == nodeByte:
			if g.alone(n.c) {
				continue
			}
			split(func(b int) bool { return b == int(n.c) })
		case !seen[n.set]:
			seen[n.set] = true
			split(func(b int) bool { return n.set.tab[b] != setNo })
		}
	}
	for b := range 256 {
		g.example[g.class[b]] = byte(b)
	}
}

// alone says whether a byte is a class.
func (g *graph) alone(c byte) bool {
	for b := range 256 {
		if b != int(c) && g.class[b] == g.class[c] {
			return false
		}
	}
	return true
}

// renumber numbers the classes from 0 on without gaps.
func (g *graph) renumber() {
	var to [512]int16
	g.classes = 0
	for b := range 256 {
		old := g.class[b]
		if to[old] == 0 {
			g.classes++
			to[old] = int16(g.classes)
		}
		g.class[b] = uint16(to[old] - 1)
	}
}
