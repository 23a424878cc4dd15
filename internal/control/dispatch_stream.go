package control

import "context"

// stream carries out "server-stream" and "reload": the commands of a
// configuration that a client has read are collected and handed on as a whole,
// so that a mistake in one leaves everything as it was.
func (d *Dispatcher) stream(ctx context.Context, name string, c command) (any, error) {
	if name == "server-stream" {
		list, err := c.list(1)
		if err != nil {
			return nil, err
		}
		s, err := collect(list)
		if err != nil {
			return nil, err
		}
		return nil, d.Verbs.Configure(ctx, s)
	}
	options, err := c.reloadOptions()
	if err != nil {
		return nil, err
	}
	list, err := c.list(3)
	if err != nil {
		return nil, err
	}
	s, err := collect(list)
	if err != nil {
		return nil, err
	}
	if err := d.Verbs.Reload(ctx, options, s); err != nil {
		return nil, err
	}
	return "OK", nil
}

// reloadOptions reads ["reload", jail or "--all", [options], …].
func (c command) reloadOptions() (o ReloadOptions, err error) {
	if o.Jail, err = c.text(1); err != nil {
		return o, err
	}
	if o.Jail == "--all" {
		o.Jail = ""
	}
	options, err := c.list(2)
	if err != nil {
		return o, err
	}
	for _, option := range options {
		switch option {
		case "--restart":
			o.Restart = true
		case "--unban":
			o.Unban = true
		case "--if-exists":
			o.IfExists = true
		default:
			return o, ErrorValue("unknown option of reload: %s", Repr(option))
		}
	}
	return o, nil
}

// collector gathers the commands of a stream by jail and action.
type collector struct {
	stream Stream
	jails  map[string]*StreamJail
}

// collect reads the commands of a stream. The first one that is none ends it.
func collect(list []any) (*Stream, error) {
	s := collector{jails: map[string]*StreamJail{}}
	for i := range list {
		cmd, err := command(list).list(i)
		if err != nil {
			return nil, err
		}
		if err := s.add(cmd); err != nil {
			return nil, err
		}
	}
	return &s.stream, nil
}

func (s *collector) jail(name string) *StreamJail {
	j := s.jails[name]
	if j == nil {
		j = &StreamJail{Name: name}
		s.jails[name] = j
		s.stream.Jails = append(s.stream.Jails, j)
	}
	return j
}

func (s *collector) add(c command) error {
	name, err := c.text(0)
	if err != nil {
		return err
	}
	word, err := c.text(1)
	if err != nil {
		return err
	}
	switch name {
	case "config-error":
		s.stream.Errors = append(s.stream.Errors, word)
		return nil
	case "add":
		backend, err := c.newJail()
		if err != nil {
			return err
		}
		j := s.jail(word)
		if j.Added {
			return ErrorDuplicateJail(word)
		}
		j.Added, j.Backend = true, backend
		return nil
	case "start":
		s.jail(word).Started = true
		return nil
	case "set", "multi-set":
		return s.set(c[1:], name == "multi-set")
	}
	return ErrorPlain("Invalid command %s in a configuration stream", Repr(name))
}

func (s *collector) set(c command, many bool) error {
	if change, known, err := c.serverChange(); known || err != nil {
		s.stream.Server = append(s.stream.Server, change)
		return err
	}
	name, _ := c.text(0) // it is there: serverChange has read it
	if change, known, err := c[1:].change(many); known || err != nil {
		j := s.jail(name)
		j.Changes = append(j.Changes, change)
		return err
	}
	word, err := c.text(1)
	if err != nil {
		return err
	}
	switch word {
	case "addaction":
		return s.jail(name).addAction(c[2:])
	case "action":
		return s.jail(name).setAction(c[2:], many)
	}
	return ErrorPlain("Invalid command %s (no set action or not yet implemented)", Repr(word))
}

func (j *StreamJail) action(name string) *StreamAction {
	for _, a := range j.Actions {
		if a.Name == name {
			return a
		}
	}
	a := &StreamAction{NewAction: NewAction{Name: name}}
	j.Actions = append(j.Actions, a)
	return a
}

func (j *StreamJail) addAction(c command) error {
	n, err := c.newAction()
	if err != nil {
		return err
	}
	a := j.action(n.Name)
	if a.Added {
		return ErrorValue("Action %s already exists", n.Name)
	}
	a.NewAction, a.Added = n, true
	return nil
}

func (j *StreamJail) setAction(c command, many bool) error {
	name, err := c.text(0)
	if err != nil {
		return err
	}
	a := j.action(name)
	if !many {
		return a.set(c[1:])
	}
	list, err := c.list(1)
	if err != nil {
		return err
	}
	for i := range list {
		entry, err := command(list).list(i)
		if err != nil {
			return err
		}
		if err := a.set(entry); err != nil {
			return err
		}
	}
	return nil
}

func (a *StreamAction) set(c command) error {
	name, err := c.text(0)
	if err != nil {
		return err
	}
	p := StreamProperty{Name: name}
	if len(c) > 1 {
		p.Value = configText(c[1])
	}
	a.Properties = append(a.Properties, p)
	return nil
}
