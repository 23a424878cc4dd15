// Package regex is Python's re module for str patterns (Python 3.11), bound
// to time linear in the text.
//
// Parse reads a pattern into an exported tree (Syntax) and reports mistakes in
// Python's own words. Compile turns the tree into a program, which is made for
// the first search where that cannot fail. Search is re.search: leftmost match,
// alternatives in order, greedy and lazy repeats, with the spans of all groups.
//
// # Two machines, one meaning
//
// The fast machine is a backtracker: tables over the next byte, and the one
// after it where that helps, say which branch can match at all, so that most
// branches need no way back; choices in a row are one. A loop over one class is
// one instruction and keeps all it took where what follows cannot start with a
// member of the class, or would but take it again (apart.go); before a literal
// it stops only where that stands. A branch that needs a literal which the rest
// of the text lacks is not run (need.go). What is left is laid out as steps, in
// the order in which they run (steps.go, layout.go): the instructions are for what
// steps do not do, and for the ways back. It has fuel: fuelFor. When that is spent, the pattern is run again on the memoised machine, which works on a
// plain program of its own, remembers every state (instruction, position and
// the few bits that the future depends on) and never enters one twice: its
// time and memory are linear in the text. Before it starts, an automaton runs
// once over the text from its end and says which instructions can lead to a
// match at each position, taking for granted what the following text does not
// tell (views): the machine goes no way that must fail, and most hostile lines
// end there, with no match. All give the same answer; tests hold the fast
// machine, the memoised one with and without views, and CPython against each
// other.
//
// A Machine keeps the states of the automata (at most about 8 MiB in all, and
// as much again while one grows), the programs they belong to among them.
// Large and equal tables of all patterns are shared for the life of the
// process.
//
// Three things cannot be remembered in that way: backreferences, conditionals
// inside of the group they ask for, and (rarely) more than eight state bits.
// Such a pattern has a budget of 2^20 steps instead. Atomic groups, possessive
// groups and lookaheads with groups inside are remembered only in part and
// have 2^22 steps. A search that would need more, or more than 8 MiB of
// memory, ends as TooComplex and is counted.
//
// # What differs from CPython, on purpose
//
//   - Text is UTF-8, offsets are bytes. In text that is not valid UTF-8 each
//     invalid byte counts as one U+FFFD.
//   - \w, \d and case folding use the Unicode tables of the Go release.
//   - Names in \N{…} that are aliases or of Hangul syllables, lone surrogates,
//     the flags L and t, and group references written other than in plain
//     digits are refused with an error.
//   - A possessive repeat over a group follows the documentation; CPython
//     before 3.11.5 loses track of the position or of groups there.
//   - (?a:…) holds for a class at the start of a pattern too; CPython's search
//     takes that class as Unicode's.
//   - Patterns of more than 65,536 characters, repeats that would need more
//     than 65,536 instructions, and groups nested deeper than 200 are refused.
package regex
