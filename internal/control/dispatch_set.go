package control

import "context"

// set carries out the words after "set" or "multi-set". A multi-set takes a
// whole list of regexes or of an action's properties and replies True.
func (d *Dispatcher) set(ctx context.Context, c command, many bool) (any, error) {
	if change, known, err := c.serverChange(); known || err != nil {
		if err != nil {
			return nil, err
		}
		return d.setServer(ctx, c, change)
	}
	jail, _ := c.text(0) // it is there: serverChange has read it
	if change, known, err := c[1:].change(many); known || err != nil {
		if err == nil {
			err = d.Verbs.ChangeJail(ctx, jail, change)
		}
		if err != nil {
			return nil, err
		}
		if many && change.Op == Add && (change.Option == "failregex" || change.Option == "ignoreregex") {
			return true, nil
		}
		s, err := d.Verbs.JailSettings(ctx, jail)
		if err != nil {
			return nil, err
		}
		v, _ := jailValue(s, change.Option)
		return v, nil
	}
	word, err := c.text(1)
	if err != nil {
		return nil, err
	}
	switch word {
	case "banip":
		n, err := d.Verbs.Ban(ctx, jail, c.texts(2))
		return n, err
	case "unbanip":
		return d.unbanJail(ctx, jail, c)
	case "attempt":
		id, err := c.text(2)
		if err != nil {
			return nil, err
		}
		n, err := d.Verbs.Attempt(ctx, jail, id, c.texts(3))
		return n, err
	case "addaction":
		a, err := c[2:].newAction()
		if err != nil {
			return nil, err
		}
		return a.Name, d.Verbs.AddAction(ctx, jail, a)
	case "delaction":
		action, err := c.text(2)
		if err != nil {
			return nil, err
		}
		return nil, d.Verbs.DeleteAction(ctx, jail, action)
	case "action":
		return d.setAction(ctx, jail, c[2:], many)
	}
	return nil, ErrNotOffered
}

// setServer sets an option of the server and replies what it is then.
func (d *Dispatcher) setServer(ctx context.Context, c command, change ServerChange) (any, error) {
	if err := d.Verbs.ChangeServer(ctx, change.Option, change.Value); err != nil {
		return nil, err
	}
	switch change.Option {
	case "allowipv6":
		return c[1], nil
	case "thread.stacksize":
		return nil, nil
	}
	s, err := d.Verbs.ServerSettings(ctx)
	if err != nil {
		return nil, err
	}
	v, _ := serverValue(s, change.Option)
	return v, nil
}

// newAction reads the words after "addaction".
func (c command) newAction() (NewAction, error) {
	name, err := c.text(0)
	if err != nil || len(c) == 1 {
		return NewAction{Name: name}, err
	}
	file, err := c.text(1)
	if err != nil {
		return NewAction{}, err
	}
	text, err := c.at(2)
	if err != nil {
		return NewAction{}, err
	}
	args, err := jsonObject(text)
	return NewAction{Name: name, File: file, Args: args}, err
}

// setAction carries out the words after "action": it sets a property, or calls
// a method, whichever has that name.
func (d *Dispatcher) setAction(ctx context.Context, jail string, c command, many bool) (any, error) {
	name, err := c.text(0)
	if err != nil {
		return nil, err
	}
	action, err := d.Verbs.Action(ctx, jail, name)
	if err != nil {
		return nil, err
	}
	if !many {
		return d.setOrCall(ctx, jail, name, action, c[1:])
	}
	list, err := c.list(1)
	if err != nil {
		return nil, err
	}
	for i := range list {
		entry, err := command(list).list(i)
		if err != nil {
			return nil, err
		}
		if _, err := d.setOrCall(ctx, jail, name, action, entry); err != nil {
			return nil, err
		}
	}
	return true, nil
}

func (d *Dispatcher) setOrCall(ctx context.Context, jail, name string, action Action, c command) (any, error) {
	key, err := c.text(0)
	if err != nil {
		return nil, err
	}
	for _, method := range action.Methods {
		if method == key {
			args, err := c.object(1)
			if err != nil {
				return nil, err
			}
			return d.Verbs.CallAction(ctx, jail, name, key, args)
		}
	}
	value, err := c.text(1)
	if err != nil {
		return nil, err
	}
	if err := d.Verbs.ChangeAction(ctx, jail, name, key, value); err != nil {
		return nil, err
	}
	if action, err = d.Verbs.Action(ctx, jail, name); err != nil {
		return nil, err
	}
	return action.property(key)
}

// property returns the value of a property, or Python's exception.
func (a Action) property(name string) (any, error) {
	for _, p := range a.Properties {
		if p.Name == name {
			return p.Value, nil
		}
	}
	return nil, attributeError.with("'CommandAction' object has no attribute " + Repr(name))
}
