package config

import (
	"os"
	"path/filepath"
	"strings"
)

// filterOptions are the options of a filter that fail2ban's client streams, in
// its order.
var filterOptions = []string{"usedns", "prefregex", "ignoreregex", "failregex", "maxlines", "datepattern", "journalmatch"}

// Rules are what a line is matched by: a filter's, with the jail's own on top.
// A Value that IsSet says false of was not given.
type Rules struct {
	Usedns      Value   // yes, warn, no, raw
	Prefregex   Value   // one regular expression
	Failregex   []Value // one regular expression each, at its own line
	Ignoreregex []Value
	Maxlines    int     // ≥ 1; 0: not given
	Datepattern []Value // one pattern each
	Logtype     Value   // file, short, journal, rfc5424
	// Journalmatch are the matches in turn, each a list of FIELD=VALUE and "+".
	Journalmatch [][]Value
}

// Filter is a filter with its parameters filled in.
type Filter struct {
	Name   string  // as the jail names it, or the path of a file
	Params []Param // as given: name[param=value]
	Files  []string
	Stock  bool // the .conf was taken from the embedded configuration
	Rules
	// Options are all options of [Definition] and [Init], by name, tags replaced.
	Options map[string]Value
}

// filterReader reads one filter for one jail.
type filterReader struct {
	*definition
	spec spec
	jail string

	logtypeSet bool // by the backend
}

// newFilterReader looks the filter up. An error names what is missing.
func (l *loader) newFilterReader(t text, jail string, diskOnly bool) (*filterReader, error) {
	s, err := splitSpec(t)
	if err != nil {
		return nil, &wrong{at: t.at(0), text: t.s, msg: "Invalid filter definition " + Repr(t.s) + ": " + err.Error(), hint: "expected NAME or NAME[option=value, …]"}
	}
	p := l.parser(l.join("filter.d", s.name), diskOnly)
	if !p.found {
		return nil, &wrong{at: t.at(0), text: t.s, msg: "Unable to read the filter " + Repr(s.name), hint: l.nearestFile("filter.d", s.name)}
	}
	return &filterReader{definition: newDefinition(p, filterOptions, s.params.clone()), spec: s, jail: jail}, nil
}

// setLogtype chooses the part of the filter that suits the backend, unless
// the filter or its parameters name one.
func (r *filterReader) setLogtype(backend string) {
	if v, ok := r.init.get("logtype"); ok && v.s != "" && !r.logtypeSet {
		return
	}
	if own := r.parser.sections["Definition"]; own != nil {
		if _, ok := own.get("logtype"); ok {
			return
		}
	}
	if strings.HasPrefix(backend, "systemd") {
		r.init.set("logtype", text{s: "journal"})
		return
	}
	r.init.set("logtype", text{s: "file"})
	r.logtypeSet = true
}

// filter describes what was read, without the rules.
func (r *filterReader) filter(all *section) Filter {
	f := Filter{Name: r.spec.name, Params: r.spec.list(), Files: r.parser.files, Options: map[string]Value{}}
	for _, name := range f.Files {
		if strings.HasPrefix(name, StockPrefix) && strings.HasSuffix(name, "/"+f.Name+".conf") {
			f.Stock = true
		}
	}
	for _, k := range all.keys {
		if !strings.HasPrefix(k, "known/") {
			f.Options[k] = all.opts[k].value()
		}
	}
	return f
}

// LoadFilter reads one filter, as a jail of its own would: spec is NAME,
// NAME[option=value] or the path of a file (with a slash in it, or that ends in
// .conf or .local). A file within a filter.d folder is read with its .local and
// all; any other alone, with what it includes. The filter is nil where an error
// was found.
func LoadFilter(o Options, spec string) (*Filter, Problems) {
	l := newLoader(o)
	fail := func(err error) (*Filter, Problems) {
		option := ""
		if oe, ok := err.(*optionError); ok {
			option, err = oe.option, oe.wrong
		}
		l.reportWrong(Error, "", option, err)
		return nil, l.problems
	}
	r, err := l.filterOf(spec)
	if err != nil {
		return fail(err)
	}
	l.reportFaults(r.parser, "")
	r.setLogtype(o.Backend)
	if err := r.read(nil, true); err != nil {
		return fail(err)
	}
	all, err := r.combined(nil)
	if err != nil {
		return fail(err)
	}
	f := r.filter(all)
	if err := r.read(nil, false); err != nil {
		return fail(err)
	}
	opts, err := r.combined(nil)
	if err != nil {
		return fail(err)
	}
	stream := &stream{loader: l, jail: ""}
	stream.filterOptions(opts)
	f.Rules = stream.rules()
	if v, ok := r.init.get("logtype"); ok {
		f.Logtype = v.value()
	} else {
		f.Logtype = f.Options["logtype"]
	}
	l.checkRules("", &f.Rules)
	if l.problems.Err() != nil {
		return nil, l.problems
	}
	return &f, l.problems
}

// filterOf finds the filter that spec means.
func (l *loader) filterOf(specText string) (*filterReader, error) {
	s, err := splitSpec(text{s: specText})
	if err != nil {
		return nil, &wrong{text: specText, msg: err.Error(), hint: "expected NAME, NAME[option=value, …] or the path of a file"}
	}
	path := s.name
	isPath := strings.Contains(path, "/") || strings.HasSuffix(path, ".conf") || strings.HasSuffix(path, ".local")
	if !isPath {
		return l.newFilterReader(text{s: specText}, "", false)
	}
	if !strings.Contains(path, "/") {
		if _, err := os.Stat(path); err != nil { // sshd.conf: the one of the configuration
			path = l.join(l.join(l.opt.Dir, "filter.d"), path)
		}
	}
	if !l.isFile(path) {
		return nil, &wrong{text: specText, msg: "no such filter file"}
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, &wrong{text: specText, msg: reason(err)}
	}
	r := &filterReader{spec: s}
	if dir := filepath.Dir(abs); filepath.Base(dir) == "filter.d" {
		l.opt.Dir = filepath.Dir(dir)
		r.definition = newDefinition(l.parser("filter.d/"+strings.TrimSuffix(filepath.Base(abs), extension(abs)), false), filterOptions, s.params.clone())
	} else {
		r.definition = newDefinition(l.parse([]string{abs}, false), filterOptions, s.params.clone())
	}
	return r, nil
}
