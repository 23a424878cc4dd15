package control

import (
	"errors"
	"fmt"
	"io"
)

// Limits bounds what one pickle may cost. The zero value means the defaults.
type Limits struct {
	Values int // values made, and values in the result; default 262,144
	Depth  int // containers within containers; default 64
}

const (
	defaultValues = 1 << 18
	defaultDepth  = 64
)

func (l Limits) orDefault() Limits {
	if l.Values <= 0 {
		l.Values = defaultValues
	}
	if l.Depth <= 0 {
		l.Depth = defaultDepth
	}
	return l
}

// ErrPickle is what is wrong with a pickle that Decode does not take: an
// opcode that is not accepted, a stack that does not fit, a value out of range.
var ErrPickle = errors.New("pickle")

// ErrPickleLimit says that a pickle is larger or deeper than Limits allow. It
// is an ErrPickle too.
var ErrPickleLimit = fmt.Errorf("%w: too large or too deep", ErrPickle)

// Decode reads one pickle, of protocol 0 to 5, up to its end; bytes after it
// are ignored, as Python's loads does. It accepts what a request can hold:
// None, bool, int (64 bits), float, str, list, tuple, dict and set. Whatever
// could import, call or build something else is refused, bytes and integers of
// more than 64 bits too. Time and memory are linear in the shorter of data and
// l.Values; a value that was written once and used often counts each time, and
// the strings that occur have 8 times the length of data together at most, or
// 1 MiB where that is more.
// A pickle that ends early is an io.ErrUnexpectedEOF. Strings do not share
// memory with data.
func Decode(data []byte, l Limits) (any, error) {
	d := decoder{data: data, limits: l.orDefault()}
	return d.run()
}

// DecodeReply reads one pickle as Decode does, and accepts also what fail2ban's
// server puts into replies: exceptions, as *Exception whatever their class,
// text that is wrapped in str (its addresses), and sets of protocols below 4.
// Nothing is imported or called.
func DecodeReply(data []byte, l Limits) (any, error) {
	d := decoder{data: data, limits: l.orDefault(), reply: true}
	return d.run()
}

// decoder is the pickle machine: a stack of values, marks in it, and a memo.
// Lists, dicts and sets are nodes while it runs, because a pickle may use one
// that is not complete; result turns them into plain values.
type decoder struct {
	data   []byte
	pos    int
	stack  []any
	marks  []int
	memo   map[uint32]any
	made   int
	limits Limits
	reply  bool
}

type (
	listNode struct{ items []any }
	setNode  struct{ items []any }
	dictNode struct{ pairs []Pair }
	// globalNode is a name that a reply refers to; only reduce looks at it.
	globalNode struct{ class }
)

func (d *decoder) run() (any, error) {
	for {
		op, err := d.byte()
		if err != nil {
			return nil, err
		}
		if op == opStop {
			break
		}
		if err := d.step(op); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return nil, err
			}
			return nil, fmt.Errorf("%w (opcode 0x%02x before offset %d)", err, op, d.pos)
		}
	}
	v, err := d.pop()
	if err != nil {
		return nil, err
	}
	if len(d.stack) > 0 || len(d.marks) > 0 {
		return nil, fmt.Errorf("%w: ends with values left over", ErrPickle)
	}
	r := resolver{left: d.limits.Values, depth: d.limits.Depth, text: max(1<<20, 8*len(d.data))}
	return r.value(v, 0)
}

// step carries out one opcode other than STOP.
func (d *decoder) step(op byte) error {
	for _, group := range [...]func(*decoder, byte) (bool, error){
		(*decoder).scalarOp, (*decoder).containerOp, (*decoder).memoOp, (*decoder).textOp,
	} {
		if done, err := group(d, op); done || err != nil {
			return err
		}
	}
	if d.reply {
		if done, err := d.globalOp(op); done || err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: opcode is not accepted", ErrPickle)
}

func (d *decoder) byte() (byte, error) {
	if d.pos >= len(d.data) {
		return 0, fmt.Errorf("%w: %w", ErrPickle, io.ErrUnexpectedEOF)
	}
	d.pos++
	return d.data[d.pos-1], nil
}

// bytes returns the next n bytes of the pickle.
func (d *decoder) bytes(n uint64) ([]byte, error) {
	if n > uint64(len(d.data)-d.pos) {
		return nil, fmt.Errorf("%w: %w", ErrPickle, io.ErrUnexpectedEOF)
	}
	b := d.data[d.pos : d.pos+int(n)]
	d.pos += int(n)
	return b, nil
}

// uint reads a little-endian number of n bytes.
func (d *decoder) uint(n int) (uint64, error) {
	b, err := d.bytes(uint64(n))
	if err != nil {
		return 0, err
	}
	var v uint64
	for i := len(b) - 1; i >= 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	return v, nil
}

// count charges one value or memo entry.
func (d *decoder) count() error {
	if d.made++; d.made > d.limits.Values {
		return ErrPickleLimit
	}
	return nil
}

func (d *decoder) push(v any) error {
	if err := d.count(); err != nil {
		return err
	}
	d.stack = append(d.stack, v)
	return nil
}

// floor is the height of the stack that the last mark protects.
func (d *decoder) floor() int {
	if len(d.marks) == 0 {
		return 0
	}
	return d.marks[len(d.marks)-1]
}

func (d *decoder) pop() (any, error) {
	if len(d.stack) <= d.floor() {
		return nil, fmt.Errorf("%w: stack is empty", ErrPickle)
	}
	v := d.stack[len(d.stack)-1]
	d.stack = d.stack[:len(d.stack)-1]
	return v, nil
}

// popN returns the n values on top. They are valid until the next push.
func (d *decoder) popN(n int) ([]any, error) {
	if len(d.stack)-n < d.floor() {
		return nil, fmt.Errorf("%w: stack is empty", ErrPickle)
	}
	items := d.stack[len(d.stack)-n:]
	d.stack = d.stack[:len(d.stack)-n]
	return items, nil
}

// popMark returns the values above the last mark and removes it. They are
// valid until the next push.
func (d *decoder) popMark() ([]any, error) {
	if len(d.marks) == 0 {
		return nil, fmt.Errorf("%w: no mark", ErrPickle)
	}
	items := d.stack[d.floor():]
	d.stack = d.stack[:d.floor()]
	d.marks = d.marks[:len(d.marks)-1]
	return items, nil
}

// top returns the value on top without removing it.
func (d *decoder) top() (any, error) {
	if len(d.stack) <= d.floor() {
		return nil, fmt.Errorf("%w: stack is empty", ErrPickle)
	}
	return d.stack[len(d.stack)-1], nil
}

// resolver copies the machine's nodes into plain values. A node that occurs
// twice is copied twice and counted twice, one that contains itself ends at the
// depth: neither can make the result larger than left. text bounds the bytes
// of all strings together, each as often as it occurs, so that writing the
// result out is bounded too.
type resolver struct {
	left, depth, text int
}

func (r *resolver) value(v any, depth int) (any, error) {
	if r.left--; r.left < 0 || depth > r.depth {
		return nil, ErrPickleLimit
	}
	switch v := v.(type) {
	case string:
		if r.text -= len(v); r.text < 0 {
			return nil, ErrPickleLimit
		}
	case *listNode:
		return r.list(v.items, depth)
	case Tuple:
		items, err := r.list(v, depth)
		return Tuple(items), err
	case *setNode:
		items, err := r.list(v.items, depth)
		return Set(items), err
	case *dictNode:
		return r.dict(v, depth)
	case *Exception:
		args, err := r.list(v.Args, depth)
		return &Exception{Module: v.Module, Name: v.Name, Args: args}, err
	case globalNode:
		return nil, fmt.Errorf("%w: %s.%s is not a value", ErrPickle, v.module, v.name)
	}
	return v, nil
}

func (r *resolver) list(nodes []any, depth int) ([]any, error) {
	if len(nodes) > r.left {
		return nil, ErrPickleLimit
	}
	items := make([]any, len(nodes))
	for i, n := range nodes {
		var err error
		if items[i], err = r.value(n, depth+1); err != nil {
			return nil, err
		}
	}
	return items, nil
}

func (r *resolver) dict(n *dictNode, depth int) (Dict, error) {
	if len(n.pairs) > r.left {
		return nil, ErrPickleLimit
	}
	dict := make(Dict, len(n.pairs))
	for i, p := range n.pairs {
		var err error
		if dict[i].Key, err = r.value(p.Key, depth+1); err != nil {
			return nil, err
		}
		if dict[i].Value, err = r.value(p.Value, depth+1); err != nil {
			return nil, err
		}
	}
	return dict, nil
}
