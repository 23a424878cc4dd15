package config

import (
	"io/fs"
	"os"
	"slices"
	"strings"
)

// DefaultVersion is what %(fail2ban_version)s stands for where Options.Version
// is empty: the release whose client this package follows.
const DefaultVersion = "1.0.2"

// AllJails in Options.Enable enables every jail.
const AllJails = "*"

// Options say what to read. Only Dir or Stock is needed.
type Options struct {
	Dir   string // the configuration directory, such as /etc/fail2ban
	Stock fs.FS  // the embedded configuration; nil: there is none
	// Superseded says whether a file of Dir (by its name within it, such as
	// "filter.d/dovecot.conf", and its content) is to be replaced by that of the
	// same name in Stock. nil: none is. A jail with stockfilters = disk is not asked.
	Superseded func(name string, content []byte) bool
	Version    string // what %(fail2ban_version)s stands for; "": DefaultVersion
	// Overrides win over the files, by option: Jail in every jail, Main in
	// fail2ban.conf's [Definition]. They are interpolated like what files hold.
	Overrides struct{ Jail, Main map[string]string }
	Enable    []string // jails that are read as if they were enabled; AllJails: all
	Make      bool     // jails of Enable that no file has are made, with the options of [DEFAULT]
	Only      string   // read and judge this jail alone; "": all
	Backend   string   // for LoadFilter: the backend that the lines come from; selects logtype
	// Fallback reads the filter of a jail that has no log file now and reads the
	// journal instead (systemd_if_nologs) for the journal: logtype = journal. The
	// commands of Dump are fail2ban's without it.
	Fallback bool
	// Files are shared by several Loads and LoadFilters that agree on Dir, Stock and
	// Superseded: each file is read and parsed once. nil: none are.
	Files *Files
	// NativeActions is the default of a jail's option native-actions.
	NativeActions string
}

// Config is a configuration that was read: plain values, never changed afterwards.
type Config struct {
	Dir   string
	Main  Main
	Jails []Jail // in the order their sections came
	// Files are all files that were read, without repetition: those of
	// fail2ban.conf and jail.conf first, then filters and actions by jail.
	Files    []string
	Replaced []Replaced // files of Dir that a stock file was taken for
}

// Replaced is a file of the configuration directory that was not read because
// Options.Superseded said so, and the stock file that was.
type Replaced struct {
	Disk, Stock string
}

// Jail returns the jail of that name, or nil.
func (c *Config) Jail(name string) *Jail {
	for i := range c.Jails {
		if c.Jails[i].Name == name {
			return &c.Jails[i]
		}
	}
	return nil
}

// Load reads the whole tree and returns everything that is wrong with it. The
// Config is never nil; jails that an error disables are in it, with Err set.
func Load(o Options) (*Config, Problems) {
	l := newLoader(o)
	t := l.trunk(o.Dir)
	c := &Config{Dir: l.opt.Dir, Main: t.main}
	p := t.jails.fork(overrides(o.Overrides.Jail))
	files := slices.Concat(t.main.Files, p.files)
	if o.Make {
		for _, name := range o.Enable {
			p.section(name)
		}
	}
	l.reportTrunk(p)
	l.problems = append(l.problems, t.warnings...)
	for _, name := range append([]string(nil), p.names...) {
		if name == includeSection || o.Only != "" && name != o.Only {
			continue
		}
		j := l.jail(p, name)
		files = append(files, j.files()...)
		c.Jails = append(c.Jails, *j)
	}
	if o.Only != "" && c.Jail(o.Only) == nil {
		l.report(Problem{Severity: Error, Jail: o.Only, Message: "no such jail", Hint: didYouMean(o.Only, p.names)})
	}
	for _, f := range files {
		if !slices.Contains(c.Files, f) {
			c.Files = append(c.Files, f)
		}
	}
	c.Replaced = l.replaced
	for i := range c.Jails {
		c.Jails[i].Problems = l.problems.Jail(c.Jails[i].Name)
	}
	return c, l.problems
}

// Err returns the errors that disable the jail, one a line; nil where there are none.
func (j *Jail) Err() error { return j.Problems.Err() }

func (l *loader) report(p Problem) { l.problems = append(l.problems, p) }

// reportWrong makes a problem of an error of the language.
func (l *loader) reportWrong(s Severity, jail, option string, err error) {
	w := asWrong(err)
	if w.suggest != nil {
		w.hint, w.suggest = w.suggest(), nil
	}
	l.report(Problem{Severity: s, File: w.at.file, Line: w.at.line, Jail: jail, Option: option, Text: w.text, Message: w.msg, Hint: w.hint})
}

// trunk is what the Loads of a configuration have in common.
type trunk struct {
	main     Main
	jails    *parser
	problems Problems // of the directory, fail2ban.conf and the reading of jail.conf
	replaced []Replaced
	warnings Problems // of jail.conf's sections
	disk     bool     // no stock file is taken for one of the directory
}

// trunk returns the beginning of every Load, with what there is to tell of it.
func (l *loader) trunk(dir string) *trunk {
	if l.files.trunk == nil {
		l.files.trunk = l.quiet().readTrunk(dir)
	}
	t := l.files.trunk
	l.problems, l.replaced = slices.Clone(t.problems), slices.Clone(t.replaced)
	if t.disk {
		l.opt.Superseded = nil
	}
	return t
}

// readTrunk reads fail2ban.conf and jail.conf of dir, which is Options.Dir as it
// was written.
func (l *loader) readTrunk(dir string) *trunk {
	if dir != "" {
		if info, err := os.Stat(dir); err != nil && l.opt.Stock == nil {
			l.report(Problem{Severity: Error, File: dir, Message: reason(err)})
		} else if err != nil {
			l.report(Problem{Severity: Warning, File: dir, Message: reason(err) + ": the built-in configuration stands alone"})
		} else if err == nil && !info.IsDir() {
			l.report(Problem{Severity: Error, File: dir, Message: "not a directory"})
		}
	}
	t := &trunk{main: l.main()}
	t.disk = l.opt.Superseded == nil
	p := l.parser("jail", false)
	if !p.found && len(l.problems.Errors()) == 0 {
		l.report(Problem{Severity: Error, File: l.join(dir, "jail.conf"), Message: "no jail.conf, jail.local or jail.d/*.conf to read"})
	}
	t.problems, t.replaced, l.problems = l.problems, l.replaced, nil
	l.warnSections(p)
	t.warnings = l.problems
	jails := *p
	t.jails, jails.defaults = &jails, p.defaults.clone()
	builtIn := pos{file: ""}
	t.jails.defaults.set("fail2ban_version", written(l.opt.Version, builtIn))
	t.jails.defaults.set("fail2ban_confpath", written(l.opt.Dir, builtIn))
	return t
}

// overrides is the section of options that the command line gives.
func overrides(options map[string]string) *section {
	s := newSection()
	for name, v := range options {
		s.set(strings.ToLower(name), written(v, pos{file: CommandLine}))
	}
	return s
}

// reportTrunk reports what is wrong with the files of jail.conf as such.
func (l *loader) reportTrunk(p *parser) {
	for _, f := range p.faults {
		jail := f.section
		if !l.isJail(p, jail) {
			jail = ""
		}
		if l.opt.Only == "" || jail == "" || jail == l.opt.Only {
			l.reportWrong(f.severity(), jail, f.option, &f.wrong)
		}
	}
}

func (l *loader) isJail(p *parser, section string) bool {
	return section != includeSection && slices.Contains(p.names, section)
}
