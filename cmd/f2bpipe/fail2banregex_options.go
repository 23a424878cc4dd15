package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// regexOptions are the options of fail2ban-regex.
type regexOptions struct {
	config       string
	datepattern  string
	timezone     string
	encoding     string
	raw          bool
	usedns       string
	maxlines     int
	journalmatch *string
	logLevel     string
	verbose      int
	verboseDate  bool
	debuggex     bool
	checkAll     bool
	out          string
	invert       bool
	noMissed     bool
	noIgnored    bool
	allMatched   bool
	allMissed    bool
	allIgnored   bool
	traceback    bool
	fullTrace    bool

	shortVersion, version, help bool
}

// A regexOption is one option of fail2ban-regex: set is called with its value,
// "" where it takes none.
type regexOption struct {
	names []string // with their dashes
	value string   // what help calls it; empty: the option takes none
	help  string
	set   func(value string) error
}

// errInteger is the mistake of a value that is no number.
var errInteger = errors.New("invalid integer value")

// list returns the options, which write to o.
func (o *regexOptions) list() []regexOption {
	text := func(p *string) func(string) error { return func(v string) error { *p = v; return nil } }
	flag := func(p *bool) func(string) error { return func(string) error { *p = true; return nil } }
	number := func(p *int) func(string) error {
		return func(v string) error {
			n, err := strconv.Atoi(strings.TrimSpace(v))
			if err != nil {
				return errInteger
			}
			*p = n
			return nil
		}
	}
	return []regexOption{
		{[]string{"--version"}, "", "show the version and exit", flag(&o.version)},
		{[]string{"-h", "--help"}, "", "show this help and exit", flag(&o.help)},
		{[]string{"-c", "--config"}, "DIR", "configuration directory", text(&o.config)},
		{[]string{"-d", "--datepattern"}, "PATTERN", "date pattern, instead of the filter's", text(&o.datepattern)},
		{[]string{"--timezone", "--TZ"}, "ZONE", "time zone of dates that name none", text(&o.timezone)},
		{[]string{"-e", "--encoding"}, "ENCODING", "encoding of the log file (default: the locale's)", text(&o.encoding)},
		{[]string{"-r", "--raw"}, "", "do not look host names up", flag(&o.raw)},
		{[]string{"--usedns"}, "HOW", "what <HOST> takes: yes, a name too; no, addresses only", text(&o.usedns)},
		{[]string{"-L", "--maxlines"}, "N", "lines that a regular expression may span", number(&o.maxlines)},
		{[]string{"-m", "--journalmatch"}, "MATCH", "journal matches, instead of the filter's", func(v string) error { o.journalmatch = &v; return nil }},
		{[]string{"-l", "--log-level"}, "LEVEL", "level from which on messages are printed", text(&o.logLevel)},
		{[]string{"-V"}, "", "show the version, for machines, and exit", flag(&o.shortVersion)},
		{[]string{"-v", "--verbose"}, "", "say more; may be repeated", func(string) error { o.verbose++; return nil }},
		{[]string{"--verbosity"}, "N", "how much to say (0 to 4)", number(&o.verbose)},
		{[]string{"--verbose-date", "--VD"}, "", "show patterns and weights of date templates", flag(&o.verboseDate)},
		{[]string{"-D", "--debuggex"}, "", "print a debuggex.com address for each line", flag(&o.debuggex)},
		{[]string{"--no-check-all"}, "", "stop at the first regular expression that matches", func(string) error { o.checkAll = false; return nil }},
		{[]string{"-o", "--out"}, "TOKEN", "print of each failure this alone: row, id, ip, msg, a field's name, or text with <tags>", text(&o.out)},
		{[]string{"-i", "--invert"}, "", "with --out: print the lines that are no failure", flag(&o.invert)},
		{[]string{"--print-no-missed"}, "", "print no missed lines", flag(&o.noMissed)},
		{[]string{"--print-no-ignored"}, "", "print no ignored lines", flag(&o.noIgnored)},
		{[]string{"--print-all-matched"}, "", "print all matched lines", flag(&o.allMatched)},
		{[]string{"--print-all-missed"}, "", "print all missed lines, however many", flag(&o.allMissed)},
		{[]string{"--print-all-ignored"}, "", "print all ignored lines, however many", flag(&o.allIgnored)},
		{[]string{"-t", "--log-traceback"}, "", "accepted; messages have no tracebacks", flag(&o.traceback)},
		{[]string{"--full-traceback"}, "", "accepted; messages have no tracebacks", flag(&o.fullTrace)},
	}
}

// parse reads the command line as Python's optparse does: options stand
// anywhere, values beside them or behind =, long names may be cut short where
// one alone begins so, short ones joined; what follows -- is no option.
func (o *regexOptions) parse(args []string) (rest []string, err error) {
	options := o.list()
	for len(args) > 0 && !o.help && !o.version && !o.shortVersion {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			return append(rest, args...), nil
		case strings.HasPrefix(arg, "--"):
			args, err = takeLong(options, arg, args)
		case len(arg) > 1 && arg[0] == '-':
			args, err = takeShort(options, arg[1:], args)
		default:
			rest = append(rest, arg)
		}
		if err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// takeLong carries out --name, --name=value or --name value.
func takeLong(options []regexOption, arg string, args []string) ([]string, error) {
	name, value, given := strings.Cut(arg, "=")
	opt, full, err := findLong(options, name)
	switch {
	case err != nil:
		return nil, err
	case opt.value == "" && given:
		return nil, fmt.Errorf("%s option does not take a value", full)
	case opt.value != "" && !given && len(args) == 0:
		return nil, fmt.Errorf("%s option requires 1 argument", full)
	case opt.value != "" && !given:
		value, args = args[0], args[1:]
	}
	if err := opt.set(value); err != nil {
		return nil, fmt.Errorf("option %s: %w: '%s'", full, err, value)
	}
	return args, nil
}

// findLong finds the option of a long name, or of the beginning of one.
func findLong(options []regexOption, name string) (opt *regexOption, full string, err error) {
	var could []string
	for i := range options {
		for _, n := range options[i].names {
			if n == name {
				return &options[i], n, nil
			}
			if strings.HasPrefix(n, name) {
				could = append(could, n)
				opt, full = &options[i], n
			}
		}
	}
	switch len(could) {
	case 0:
		return nil, "", fmt.Errorf("no such option: %s", name)
	case 1:
		return opt, full, nil
	}
	return nil, "", fmt.Errorf("ambiguous option: %s (%s?)", name, strings.Join(could, ", "))
}

// takeShort carries out -abc, -ovalue or -o value.
func takeShort(options []regexOption, letters string, args []string) ([]string, error) {
	for len(letters) > 0 {
		name := "-" + letters[:1]
		letters = letters[1:]
		opt, _, err := findLong(options, name)
		if err != nil || opt.names[0] != name {
			return nil, fmt.Errorf("no such option: %s", name)
		}
		value := ""
		if opt.value != "" {
			switch {
			case letters != "":
				value, letters = letters, ""
			case len(args) > 0:
				value, args = args[0], args[1:]
			default:
				return nil, fmt.Errorf("%s option requires 1 argument", name)
			}
		}
		if err := opt.set(value); err != nil {
			return nil, fmt.Errorf("option %s: %w: '%s'", name, err, value)
		}
	}
	return args, nil
}

// usage is the first line of help and of mistakes.
func regexUsage(program string) string {
	return "Usage: " + program + " [OPTIONS] <LOG> <REGEX> [IGNOREREGEX]\n"
}

// printHelp writes the help text.
func (o *regexOptions) printHelp(w io.Writer, program string) {
	fmt.Fprint(w, regexUsage(program), `
Tries the regular expressions of a filter on a log, and bans nobody.

LOG:
  FILE                  a log file
  TEXT                  a log line, or several
  systemd-journal       the journal

REGEX:
  NAME[OPTION=VALUE]    a filter, or else a jail
  FILE                  a filter file
  TEXT                  a failregex

IGNOREREGEX:
  FILE                  a filter file
  TEXT                  an ignoreregex

Options:
`)
	for _, opt := range o.list() {
		var names []string
		for _, n := range opt.names {
			switch {
			case opt.value == "":
			case strings.HasPrefix(n, "--"):
				n += "=" + opt.value
			default:
				n += " " + opt.value
			}
			names = append(names, n)
		}
		head := "  " + strings.Join(names, ", ")
		if len(head) > 22 {
			head += "\n" + strings.Repeat(" ", 24)
		} else {
			head += strings.Repeat(" ", 24-len(head))
		}
		fmt.Fprintln(w, head+opt.help)
	}
}

// localeEncoding is the encoding that the locale names, UTF-8 where it names none.
func localeEncoding() string {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := os.Getenv(name); v != "" {
			if _, charset, ok := strings.Cut(v, "."); ok {
				charset, _, _ = strings.Cut(charset, "@")
				if strings.EqualFold(strings.ReplaceAll(charset, "-", ""), "utf8") {
					return "UTF-8"
				}
				return charset
			}
			break
		}
	}
	return "UTF-8"
}
