package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/service"
	"github.com/f2bpipe/f2bpipe/internal/stock"
	"github.com/f2bpipe/f2bpipe/matchers"
)

// filterSpec is what the name or path of a filter looks like.
var filterSpec = regexp.MustCompile(`(?ms)^/{0,3}[\pL\pN_/\-.]+(?:\[.*\])?$`)

// filterFile is where a filter was found.
type filterFile struct {
	spec    string // for config.LoadFilter
	name    string // as it is shown
	basedir string // of the configuration; empty: a file outside of one
}

// findFilter looks for the filter file that spec names, as fail2ban-regex does:
// in filter.d, or by its path, with and without its extension. nil: there is none.
func (t *regexTest) findFilter(o config.Options, spec string) *filterFile {
	if !filterSpec.MatchString(spec) {
		return nil
	}
	name, params := spec, ""
	if i := strings.IndexByte(spec, '['); i >= 0 {
		name, params = spec[:i], spec[i:]
	}
	tail := name[max(0, len(name)-6):]
	tries := []string{name}
	if !strings.Contains(tail, ".") {
		tries = append(tries, name+".conf", name+".local")
	}
	base := t.opts.config
	for _, try := range tries {
		path := try
		switch {
		case strings.Contains(try, "/"):
			base = filepath.Dir(try)
		case filepath.Base(base) == "filter.d":
			path = filepath.Join(base, try)
		default:
			path = filepath.Join(base, "filter.d", try)
		}
		info, err := os.Stat(path)
		isFile := err == nil && info.Mode().IsRegular()
		if !isFile && !strings.Contains(try, "/") {
			_, err := fs.Stat(o.Stock, "filter.d/"+try)
			isFile = err == nil && strings.HasSuffix(try, ".conf")
		}
		if !isFile {
			continue
		}
		inFolder := filepath.Base(base) == "filter.d"
		if base != t.opts.config && !inFolder && (strings.Contains(tail, ".") || strings.Contains(name, "/")) {
			return &filterFile{spec: path + params, name: name}
		}
		if inFolder {
			base = filepath.Dir(base)
		}
		plain := filepath.Base(name)
		plain = strings.TrimSuffix(plain, filepath.Ext(plain))
		return &filterFile{spec: plain + params, name: plain, basedir: base}
	}
	return nil
}

// useFailregex takes REGEX: a filter, a jail or a regular expression.
func (t *regexTest) useFailregex(arg string, journal bool) error {
	o := configFlag{Config: t.opts.config}.options()
	if journal {
		o.Backend = "systemd"
	}
	if file := t.findFilter(o, arg); file != nil {
		return t.useFilter(o, arg, file)
	}
	if filterSpec.MatchString(arg) {
		jail, err := service.FindJail(o, arg)
		if err != nil {
			return fmt.Errorf("ERROR: Failed to get jail for %s\n%w", config.Repr(arg), err)
		}
		if jail != nil {
			return t.useJail(jail, service.SpecParams(arg))
		}
	}
	t.say("Use   failregex line : %s", short(arg))
	t.name = "(command line)"
	t.rules.Failregex = []config.Value{{Text: arg, File: config.CommandLine}}
	return nil
}

// useFilter reads a filter file.
func (t *regexTest) useFilter(o config.Options, arg string, file *filterFile) error {
	if file.basedir != "" {
		o.Dir = file.basedir
		t.say("Use   failregex filter file : %s, basedir: %s", file.name, file.basedir)
	} else {
		t.say("Use   failregex file : %s", file.name)
	}
	params := service.SpecParams(arg)
	if len(params) > 0 {
		t.say("Use   filter options : %s", dictOf(params))
	}
	f, problems := config.LoadFilter(o, file.spec)
	if f == nil {
		return unreadable(problems, arg)
	}
	if f.Stock && file.basedir != "" {
		if _, err := os.Stat(filepath.Join(file.basedir, "filter.d", file.name+".conf")); err == nil {
			fmt.Fprintf(t.err, "filter %s: our own is used, since the one in %s does not know today's log format\n", file.name, file.basedir)
		}
	}
	if t.opts.verbose > 1 || strings.EqualFold(t.opts.logLevel, "debug") {
		t.say("Real  filter options : %s", dictOf(realOptions(f, params)))
	}
	t.name = f.Name
	return t.useRules(&f.Rules)
}

// useJail takes a jail's regular expressions and how it reads dates.
func (t *regexTest) useJail(jail *config.Jail, params [][2]string) error {
	t.say("Use             jail : %s", jail.Name)
	if len(params) > 0 {
		t.say("Use jail/flt options : %s", dictOf(params))
	}
	t.name = jail.Name
	if t.timezone == "" {
		t.timezone = jail.Logtimezone.Text
	}
	return t.useRules(&jail.Rules)
}

// useRules takes over what the command line has not set.
func (t *regexTest) useRules(r *config.Rules) error {
	if r.Maxlines > 0 {
		t.setMaxlines(r.Maxlines)
	}
	var patterns []string
	for _, p := range r.Datepattern {
		patterns = append(patterns, p.Text)
	}
	if err := t.setDatepattern(patterns, strings.Join(patterns, "\n")); err != nil {
		return err
	}
	t.rules.Prefregex, t.rules.Failregex, t.rules.Ignoreregex = r.Prefregex, r.Failregex, r.Ignoreregex
	t.rules.Journalmatch = r.Journalmatch
	return nil
}

// useIgnoreregex takes IGNOREREGEX: a filter file or a regular expression, which
// comes after the filter's own.
func (t *regexTest) useIgnoreregex(arg string) error {
	path, _, _ := strings.Cut(arg, "[")
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && strings.Contains(path, "/") {
		t.say("Use ignoreregex file : %s", path)
		f, problems := config.LoadFilter(config.Options{Dir: t.opts.config, Stock: stock.FS()}, arg)
		if f == nil {
			return unreadable(problems, arg)
		}
		t.rules.Ignoreregex = append(t.rules.Ignoreregex, f.Rules.Ignoreregex...)
		return nil
	}
	t.say("Use ignoreregex line : %s", short(arg))
	if strings.TrimSpace(arg) == "" {
		return errors.New("ERROR: Cannot add empty regex")
	}
	t.rules.Ignoreregex = append(t.rules.Ignoreregex, config.Value{Text: arg, File: config.CommandLine})
	return nil
}

// unreadable is the error of a filter file that cannot be used.
func unreadable(problems config.Problems, arg string) error {
	return errors.New("ERROR: " + problems.Error() + "\nERROR: failed to load filter " + arg)
}

// realOptions are the values that options of interest have in a filter: its log
// type, its date pattern, and what was given.
func realOptions(f *config.Filter, params [][2]string) [][2]string {
	out := [][2]string{{"logtype", f.Logtype.Text}}
	var patterns []string
	for _, p := range f.Rules.Datepattern {
		patterns = append(patterns, p.Text)
	}
	if len(patterns) > 0 {
		out = append(out, [2]string{"datepattern", strings.Join(patterns, "\n")})
	}
	for _, p := range params {
		value := p[1]
		if v, ok := f.Options[p[0]]; ok {
			value = v.Text
		}
		if p[0] != "logtype" && p[0] != "datepattern" {
			out = append(out, [2]string{p[0], value})
		}
	}
	return out
}

// dictOf shows pairs as Python shows a dictionary.
func dictOf(pairs [][2]string) string {
	var items []string
	for _, p := range pairs {
		items = append(items, config.Repr(p[0])+": "+config.Repr(p[1]))
	}
	return "{" + strings.Join(items, ", ") + "}"
}

// fieldsOf shows what a match captured as Python shows a dictionary.
func fieldsOf(fields []matchers.MatchField, users []string, more ...string) string {
	var items []string
	for _, f := range fields {
		items = append(items, config.Repr(f.Name)+": "+fieldRepr(f, users))
	}
	return "{" + strings.Join(append(items, more...), ", ") + "}"
}

// fieldRepr shows a captured value as Python's repr does.
func fieldRepr(f matchers.MatchField, users []string) string {
	switch {
	case f.Name == "users":
		var items []string
		for _, u := range users {
			items = append(items, config.Repr(u))
		}
		return "{" + strings.Join(items, ", ") + "}"
	case f.Unset:
		return "None"
	case f.Tuple:
		return f.Value
	}
	return config.Repr(f.Value)
}
