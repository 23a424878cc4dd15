package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	includeSection = "INCLUDES"
	// knownPrefix starts the section that keeps what a later file of the same
	// name overrode, for %(known/option)s.
	knownPrefix = "KNOWN/"
	// maxIncludes bounds the files of one name: includes that include each
	// other in every order would otherwise be read factorially often.
	maxIncludes = 500
)

// parser is the files of one name (jail, filter.d/sshd, …) merged.
type parser struct {
	defaults *section
	names    []string // sections in the order they came, without KNOWN/…
	sections map[string]*section
	files    []string // that it was read from, in order, as places name them
	faults   []fault
	found    bool // at least one file was read

	problems  Problems        // of the reading itself
	replaced  []Replaced      // files that stock ones were taken for
	mentioned map[string]bool // what references returns
	mistyped  Problems        // what findMistyped returns, for no jail

	// Of a fork: what it was made from, whose sections it copies when it is first
	// asked for them, and the options that it lays over each.
	below *parser
	over  *section
}

// parser reads the files of name, relative to Options.Dir or absolute: their
// order is name.conf, name.d/*.conf, name.local, name.d/*.local. It is read
// once, and must not be changed.
func (l *loader) parser(name string, diskOnly bool) *parser {
	base := l.join(l.opt.Dir, name)
	key := base
	if diskOnly {
		key += "\x00disk"
	}
	p := l.files.parsers[key]
	if p == nil {
		q := l.quiet()
		p = q.parseNamed(base, diskOnly)
		p.problems, p.replaced = q.problems, q.replaced
		l.files.parsers[key] = p
	}
	if !l.used[p] {
		l.used[p] = true
		l.problems = append(l.problems, p.problems...)
		l.replace(p.replaced...)
	}
	return p
}

// parseNamed reads the files of the name whose path is base.
func (l *loader) parseNamed(base string, diskOnly bool) *parser {
	files := []string{base + ".conf"}
	files = append(files, l.folder(base+".d", ".conf")...)
	files = append(files, base+".local")
	files = append(files, l.folder(base+".d", ".local")...)
	existing := files[:0]
	for _, f := range files {
		if l.exists(f) {
			existing = append(existing, f)
		} else if target, err := os.Readlink(f); err == nil {
			l.report(Problem{Severity: Warning, File: f, Text: target, Message: "the link leads to no file, and is skipped"})
		}
	}
	return l.parse(existing, diskOnly)
}

// fork returns a copy whose sections may be changed, with options that win over
// those of each. Most of them nobody asks for, and they are not copied.
func (p *parser) fork(over *section) *parser {
	return &parser{
		defaults: p.defaults, names: slices.Clip(p.names), sections: map[string]*section{}, files: p.files, faults: p.faults,
		found: p.found, below: p, over: over,
	}
}

// lookup returns the section, nil where there is none.
func (p *parser) lookup(name string) *section {
	s := p.sections[name]
	if s != nil || p.below == nil || p.below.sections[name] == nil {
		return s
	}
	s = p.below.sections[name].clone()
	if !strings.HasPrefix(name, knownPrefix) {
		s.update(p.over)
	}
	p.sections[name] = s
	return s
}

// parse reads files and what they include and merges them in their order.
func (l *loader) parse(files []string, diskOnly bool) *parser {
	p := &parser{defaults: newSection(), sections: map[string]*section{}}
	in := &includes{loader: l, parser: p, diskOnly: diskOnly}
	reported := map[string]bool{}
	for _, path := range in.expand(files, nil) {
		f := l.read(path, diskOnly)
		if f == nil {
			continue
		}
		p.found = true
		p.files = append(p.files, f.name)
		if !reported[path] {
			p.faults = append(p.faults, f.faults...)
			reported[path] = true
		}
		p.merge(f.file)
	}
	return p
}

// merge lays a file over what was read before it.
func (p *parser) merge(f *file) {
	p.defaults.update(f.defaults)
	for _, name := range f.names {
		s := f.sections[name]
		if base, condition, ok := splitCondition(name); ok {
			name = base
			plain := s
			s = newSection()
			for _, k := range plain.keys {
				s.set(k+condition, plain.opts[k])
			}
		}
		old := p.sections[name]
		if old == nil {
			*p.section(name) = *s.clone()
			continue
		}
		known := p.section(knownPrefix + name)
		for _, k := range old.keys {
			if _, ok := s.opts[k]; ok {
				known.set(k, old.opts[k])
			}
		}
		old.update(s)
	}
}

// section returns the section and makes it where it is not there.
func (p *parser) section(name string) *section {
	s := p.lookup(name)
	if s == nil {
		s = newSection()
		if p.below != nil {
			s.update(p.over)
		}
		p.sections[name] = s
		if !strings.HasPrefix(name, knownPrefix) {
			p.names = append(p.names, name)
		}
	}
	return s
}

// includes follows the [INCLUDES] of files.
type includes struct {
	*loader
	parser   *parser
	diskOnly bool
	count    int
	full     bool
}

// expand returns the files, each followed by its .local and surrounded by what
// it includes before and after itself. seen is the files that led here.
func (in *includes) expand(files []string, seen []string) []string {
	var out []string
	for _, f := range in.withLocal(files) {
		out = append(out, in.expandOne(f, seen)...)
	}
	return out
}

// withLocal puts X.local after X.conf where it exists and is not listed itself.
func (in *includes) withLocal(files []string) []string {
	var out []string
	for _, f := range files {
		out = append(out, f)
		local := strings.TrimSuffix(f, extension(f)) + ".local"
		if !contains(files, local) && in.isFile(local) {
			out = append(out, local)
		}
	}
	return out
}

func (in *includes) expandOne(path string, seen []string) []string {
	f := in.read(path, in.diskOnly)
	if f == nil {
		return nil
	}
	if in.count++; in.count > maxIncludes {
		if !in.full {
			in.full = true
			in.parser.faults = append(in.parser.faults, fault{wrong: wrong{at: pos{f.name, 0}, msg: fmt.Sprintf("more than %d files include each other", maxIncludes)}})
		}
		return nil
	}
	alone := &parser{defaults: f.defaults, sections: f.sections}
	var around [2][]string
	for i, option := range [2]string{"before", "after"} {
		v, ok, err := text{}, false, error(nil)
		if f.sections[includeSection] != nil {
			v, ok, err = alone.get(includeSection, option, nil)
		}
		if err != nil {
			in.parser.faults = append(in.parser.faults, fault{wrong: *asWrong(err), section: includeSection, option: option})
		}
		if !ok || err != nil {
			continue
		}
		for _, line := range v.lines() {
			around[i] = append(around[i], in.include(path, line, seen)...)
		}
	}
	return append(append(around[0], path), around[1]...)
}

// include returns the files that one line of before= or after= in path stands for.
func (in *includes) include(path string, line text, seen []string) []string {
	if line.s == "" {
		return nil
	}
	target := in.join(filepath.Dir(path), line.s)
	if contains(seen, target) {
		return nil
	}
	out := in.expand([]string{target}, append(append([]string(nil), seen...), path))
	if len(out) == 0 && !in.exists(target) && !strings.HasSuffix(target, ".local") && !in.full {
		in.parser.faults = append(in.parser.faults, fault{
			wrong:   wrong{at: line.at(0), text: line.s, msg: "the file to include does not exist"},
			section: includeSection, warning: true})
	}
	return out
}

// extension is Python's os.path.splitext()[1]: leading dots start none.
func extension(path string) string {
	base := strings.TrimLeft(path[strings.LastIndexByte(path, '/')+1:], ".")
	if i := strings.LastIndexByte(base, '.'); i >= 0 {
		return base[i:]
	}
	return ""
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

// asWrong returns the error of the language in err.
func asWrong(err error) *wrong {
	if w, ok := err.(*wrong); ok {
		return w
	}
	return &wrong{msg: err.Error()}
}
