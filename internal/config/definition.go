package config

import "strings"

// definition is a filter or an action as fail2ban reads both: the options of
// [Definition], the parameters, and [Init] for parameters not given.
type definition struct {
	parser *parser
	wanted []string // options of [Definition] that mean something
	// init is the parameters, then from [Init] each option as known/NAME and,
	// where no parameter has it, as NAME.
	init  *section
	outer *section         // options that win over [Definition]: the jail's and the parameters
	vars  *section         // outer as %(x)s and <x> see it: names in lower case
	opts  *section         // options of [Definition] as they were read last
	cache map[string]*text // what a tag was replaced by; nil: nothing has that name
}

func newDefinition(p *parser, wanted []string, params *section) *definition {
	return &definition{parser: p, wanted: wanted, init: params, cache: map[string]*text{}}
}

// read reads the options, as far as jail (the jail's own; may be nil) and the
// parameters leave them to the file. With all it reads every option of
// [Definition], known to fail2ban or not.
func (d *definition) read(jail *section, all bool) error {
	if jail != nil {
		d.outer = jail.clone()
		d.outer.update(d.init)
	} else {
		d.outer = d.init.clone()
	}
	d.vars = d.outer.lowered()
	d.opts = newSection()
	for _, name := range d.wanted {
		if _, ok := d.outer.get(name); ok {
			continue
		}
		v, ok, err := d.parser.get("Definition", name, d.vars)
		if err != nil {
			return inOption(err, name)
		}
		if ok {
			d.opts.set(name, v)
		}
	}
	if err := d.readInit(); err != nil {
		return err
	}
	own := d.parser.sections["Definition"]
	if !all || own == nil {
		return nil
	}
	for _, name := range own.keys {
		if _, ok := d.opts.get(name); ok {
			continue
		}
		v, _, err := d.parser.get("Definition", name, nil)
		if err != nil {
			return inOption(err, name)
		}
		d.opts.set(name, v)
	}
	return nil
}

func (d *definition) readInit() error {
	own := d.parser.sections["Init"]
	if own == nil {
		return nil
	}
	for _, name := range own.keys {
		v, _, err := d.parser.get("Init", name, nil)
		if err != nil {
			return inOption(err, name)
		}
		d.init.set("known/"+name, v)
		if _, ok := d.init.get(name); !ok {
			d.init.set(name, v)
		}
	}
	return nil
}

// combined returns the options and parameters with their tags replaced; what
// ignore names, and what holds on a condition, stays for later.
func (d *definition) combined(ignore map[string]bool) (*section, error) {
	all := d.opts.clone()
	all.update(d.init)
	skip := map[string]bool{}
	for k := range ignore {
		skip[k] = true
	}
	for _, k := range all.keys {
		if name, _, ok := splitCondition(k); ok {
			skip[name] = true
		}
	}
	if err := substituteTags(all, skip, d.tag); err != nil {
		return nil, err
	}
	return all, nil
}

// tag returns what a tag stands for that is no option or parameter itself:
// <section/option>, an option of [DEFAULT], or one of the jail's. What it found
// first it keeps.
func (d *definition) tag(name string) (text, bool, error) {
	if v, ok := d.cache[name]; ok {
		if v == nil {
			return text{}, false, nil
		}
		return *v, true, nil
	}
	v, ok, err := d.tagUncached(name)
	if err != nil {
		return text{}, false, err
	}
	d.cache[name] = nil
	if ok {
		d.cache[name] = &v
	}
	return v, ok, nil
}

func (d *definition) tagUncached(name string) (text, bool, error) {
	if sec, opt, ok := splitReference(name); ok {
		sections := []string{sec}
		switch strings.ToLower(sec) {
		case "known":
			sections = []string{knownPrefix + "Definition", "Definition"}
		case "default":
			sections = []string{defaultSection}
		}
		for _, s := range sections {
			if v, ok, err := d.parser.get(s, opt, nil); ok || err != nil {
				return v, ok, err
			}
		}
	}
	return d.parser.get("Definition", name, d.vars)
}

// inOption notes which option of a filter or action an error was found in.
func inOption(err error, option string) error {
	return &optionError{wrong: asWrong(err), option: option}
}

// optionError is an error of the language within an option.
type optionError struct {
	*wrong
	option string
}

func (e *optionError) Unwrap() error { return e.wrong }
