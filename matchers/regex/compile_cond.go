package regex

// env is what is known, at one place of a program, of the groups that
// conditionals ask for: two bits a group. The fast program is built once for
// each state that can come up, which resolves most conditionals while
// compiling and, more important, tells what follows apart: after
// (?P<u>\S+)…(?(u): |$) nothing but a colon.
type env uint32

// The states of a group in an env.
const (
	groupUnknown env = iota
	groupSet
	groupUnset
)

// maxTracked is how many groups are followed, as code may double with each.
const maxTracked = 3

// maxEnvs is how many envs there are: three states for each group that is followed.
const maxEnvs = 27

// conds knows the conditionals of a pattern.
type conds struct {
	refs    []int32 // groups asked for, as ^group
	own     bool    // one stands inside of the group that it asks for
	tracked []tracked
	order   map[*Node]int // by place in the pattern
}

// tracked is a group that is followed in the env.
type tracked struct{ group, lastTest int }

// find notes the conditionals. Inside of its own group, whether the group
// counts as set depends on where it was opened and closed before: such
// groups are not followed, and their state is more than a bit.
func (c *conds) find(root *Node, track bool) {
	if !conditional(root) {
		return
	}
	last := map[int]int{}
	ownGroups := map[int]bool{}
	c.order = map[*Node]int{}
	root.Walk(func(n *Node) bool {
		c.order[n] = len(c.order)
		switch n.Kind {
		case KindCond:
			if _, seen := last[n.Index]; !seen {
				c.refs = append(c.refs, ^int32(n.Index))
			}
			last[n.Index] = c.order[n]
		case KindGroup:
			n.Walk(func(s *Node) bool {
				if s.Kind == KindCond && s.Index == n.Index {
					c.own = true
					ownGroups[n.Index] = true
				}
				return true
			})
		}
		return true
	})
	for _, ref := range c.refs {
		if g := int(^ref); track && !ownGroups[g] && len(c.tracked) < maxTracked {
			c.tracked = append(c.tracked, tracked{g, last[g]})
		}
	}
}

// conditional says whether there is a conditional in n.
func conditional(n *Node) bool {
	found := false
	n.Walk(func(n *Node) bool {
		found = found || n.Kind == KindCond
		return !found
	})
	return found
}

// none says that no group is followed: every env is the same.
func (c *conds) none() bool { return len(c.tracked) == 0 }

// start is the env in which a search starts: nothing is set.
func (c *conds) start() (e env) {
	for i := range c.tracked {
		e |= groupUnset << (2 * i)
	}
	return e
}

// state returns what e knows of a group.
func (c *conds) state(e env, group int) env {
	for i, t := range c.tracked {
		if t.group == group {
			return e >> (2 * i) & 3
		}
	}
	return groupUnknown
}

// set returns e after a group was closed.
func (c *conds) set(e env, group int) env {
	for i, t := range c.tracked {
		if t.group == group {
			return e&^(3<<(2*i)) | groupSet<<(2*i)
		}
	}
	return e
}

// forget returns e without what it knows of the groups in n.
func (c *conds) forget(e env, n *Node) env {
	if e == 0 {
		return e
	}
	n.Walk(func(s *Node) bool {
		for i, t := range c.tracked {
			if s.Kind == KindGroup && s.Index == t.group {
				e &^= 3 << (2 * i)
			}
		}
		return true
	})
	return e
}

// relevant returns e without the groups that neither n nor what follows it asks for.
func (c *conds) relevant(e env, n *Node) env {
	for i, t := range c.tracked {
		if t.lastTest < c.order[n] {
			e &^= 3 << (2 * i)
		}
	}
	return e
}

// always is the continuation that goes on at pc.
func always(pc int32) cont { return func(env) int32 { return pc } }

// once makes a continuation build its code one time for each env.
func once(k cont) cont {
	type code struct {
		env env
		pc  int32
	}
	var built []code // nearly always one
	return func(e env) int32 {
		for _, c := range built {
			if c.env == e {
				return c.pc
			}
		}
		pc := k(e)
		built = append(built, code{e, pc})
		return pc
	}
}
