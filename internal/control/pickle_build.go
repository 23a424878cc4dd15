package control

import (
	"fmt"
	"slices"
)

// containerOp carries out the opcodes that make and fill containers.
func (d *decoder) containerOp(op byte) (done bool, err error) {
	switch op {
	case opMark:
		if err = d.count(); err == nil {
			d.marks = append(d.marks, len(d.stack))
		}
	case opPop:
		_, err = d.pop()
	case opPopMark:
		_, err = d.popMark()
	case opEmptyList:
		err = d.push(&listNode{})
	case opEmptyDict:
		err = d.push(&dictNode{})
	case opEmptySet:
		err = d.push(&setNode{})
	case opEmptyTuple:
		err = d.push(Tuple{})
	case opTuple1, opTuple2, opTuple3:
		err = d.tuple(d.popN(int(op-opTuple1) + 1))
	case opTuple:
		err = d.tuple(d.popMark())
	case opList, opDict:
		err = d.collect(op)
	case opAppend:
		err = d.fill(d.popN(1))
	case opSetItem:
		err = d.fill(d.popN(2))
	case opAppends, opAddItems, opSetItems:
		err = d.fill(d.popMark())
	default:
		return false, nil
	}
	return true, err
}

func (d *decoder) tuple(items []any, err error) error {
	if err != nil {
		return err
	}
	return d.push(Tuple(slices.Clone(items)))
}

// collect makes a list or dict of all values above the mark.
func (d *decoder) collect(op byte) error {
	items, err := d.popMark()
	if err != nil {
		return err
	}
	items = slices.Clone(items)
	var container any = &listNode{}
	if op == opDict {
		container = &dictNode{}
	}
	if err := d.push(container); err != nil {
		return err
	}
	return d.fill(items, nil)
}

// fill adds the items to the container on top of the stack. What kind it is
// decides the container, as in Python, not the opcode.
func (d *decoder) fill(items []any, err error) error {
	if err != nil {
		return err
	}
	container, err := d.top()
	if err != nil {
		return err
	}
	switch c := container.(type) {
	case *listNode:
		c.items = append(c.items, items...)
		return nil
	case *setNode:
		for _, key := range items {
			if !hashable(key) {
				return fmt.Errorf("%w: set item is not hashable", ErrPickle)
			}
		}
		c.items = append(c.items, items...)
		return nil
	case *dictNode:
		if len(items)%2 != 0 {
			return fmt.Errorf("%w: dict key without a value", ErrPickle)
		}
		for i := 0; i < len(items); i += 2 {
			if !hashable(items[i]) {
				return fmt.Errorf("%w: dict key is not hashable", ErrPickle)
			}
			c.pairs = append(c.pairs, Pair{Key: items[i], Value: items[i+1]})
		}
		return nil
	}
	return fmt.Errorf("%w: append to what is no container", ErrPickle)
}

// hashable tells what Python takes as a key. Tuples are taken as they are:
// nothing here ever hashes one.
func hashable(v any) bool {
	switch v.(type) {
	case *listNode, *dictNode, *setNode, *Exception, globalNode:
		return false
	}
	return true
}

// globalOp carries out, in replies, the opcodes that name a class and make an
// object of it: every class becomes an Exception, but for str and set.
func (d *decoder) globalOp(op byte) (done bool, err error) {
	switch op {
	case opGlobal:
		err = d.global()
	case opStackGlobal:
		err = d.stackGlobal()
	case opReduce:
		err = d.reduce()
	case opBuild:
		// The attributes of an exception: nobody looks at them.
		if _, err = d.pop(); err == nil {
			if v, topErr := d.top(); topErr != nil {
				err = topErr
			} else if _, ok := v.(*Exception); !ok {
				err = fmt.Errorf("%w: attributes for what is no exception", ErrPickle)
			}
		}
	default:
		return false, nil
	}
	return true, err
}

func (d *decoder) global() error {
	module, err := d.line()
	if err != nil {
		return err
	}
	name, err := d.line()
	if err != nil {
		return err
	}
	return d.push(globalNode{class{string(module), string(name)}})
}

func (d *decoder) stackGlobal() error {
	items, err := d.popN(2)
	if err != nil {
		return err
	}
	module, ok1 := items[0].(string)
	name, ok2 := items[1].(string)
	if !ok1 || !ok2 {
		return fmt.Errorf("%w: class name is no text", ErrPickle)
	}
	return d.push(globalNode{class{module, name}})
}

func (d *decoder) reduce() error {
	items, err := d.popN(2)
	if err != nil {
		return err
	}
	g, ok1 := items[0].(globalNode)
	args, ok2 := items[1].(Tuple)
	if !ok1 || !ok2 {
		return fmt.Errorf("%w: call of what is no class", ErrPickle)
	}
	if g.module == "builtins" || g.module == "__builtin__" {
		switch {
		case (g.name == "str" || g.name == "unicode") && len(args) == 1:
			if s, ok := args[0].(string); ok {
				return d.push(s)
			}
		case g.name == "set" && len(args) == 1:
			if list, ok := args[0].(*listNode); ok {
				if err := d.push(&setNode{}); err != nil {
					return err
				}
				return d.fill(list.items, nil)
			}
		}
	}
	return d.push(&Exception{Module: g.module, Name: g.name, Args: args})
}
