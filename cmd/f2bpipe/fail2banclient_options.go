package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/config/formula"
	"github.com/f2bpipe/f2bpipe/internal/control"
	"github.com/f2bpipe/f2bpipe/internal/logtarget"
	"github.com/f2bpipe/f2bpipe/internal/service"
	"github.com/f2bpipe/f2bpipe/internal/stock"
)

// exitTheirs is the exit status of a failure under fail2ban's names.
const exitTheirs = 255

// theirVersion is the release of fail2ban that we pass for under its names.
const theirVersion = config.DefaultVersion

// defaultWait is how long a server may take to come up or to end.
const defaultWait = 30 * time.Second

// theirOptions are the options of fail2ban-client and fail2ban-server.
type theirOptions struct {
	config                           string // as given; empty: the default
	socket, pidFile                  string
	logLevel, logTarget, syslogPlace string
	dump, pretty, test               bool
	interactive, force, async        bool
	foreground                       bool
	verbose                          int
	timeout                          time.Duration
	args                             []string // the command

	main config.Main // fail2ban.conf, with the options above over it
}

// errShown ends a command line that has shown what it was asked for.
var errShown = errors.New("shown")

// errUsage is a command line that cannot be read.
var errUsage = errors.New("usage")

// theirLong are the long options; true: with a value.
var theirLong = map[string]bool{
	"loglevel": true, "logtarget": true, "syslogsocket": true, "conf": true, "pidfile": true, "pname": true, "socket": true,
	"timeout": true, "str2sec": true, "test": false, "async": false, "help": false, "version": false, "dp": false, "dump-pretty": false,
}

// parseTheirs reads a command line as getopt(3) does with POSIXLY_CORRECT:
// options end at the first word that is none. What it is asked to show it
// writes to out, and returns errShown.
func parseTheirs(name string, words []string, out io.Writer) (*theirOptions, error) {
	o := &theirOptions{verbose: 1, timeout: defaultWait}
	for len(words) > 0 {
		word := words[0]
		if word == "--" {
			words = words[1:]
			break
		}
		if len(word) < 2 || word[0] != '-' {
			break
		}
		var err error
		if long, ok := strings.CutPrefix(word, "--"); ok {
			words, err = o.long(name, long, words[1:], out)
		} else {
			words, err = o.short(name, word[1:], words[1:], out)
		}
		if err != nil {
			return nil, err
		}
	}
	o.args = words
	if err := o.check(); err != nil {
		return nil, err
	}
	o.main = service.MainOf(o.options())
	return o, nil
}

// What fail2ban says of options that it refuses.
const (
	textNoDirectory = "Base configuration directory %s does not exist "
	textNoLevel     = "Invalid log level %s"
)

// refusal is an error in fail2ban's words.
type refusal string

func (r refusal) Error() string { return string(r) }

// check says what fail2ban refuses of options that can be read.
func (o *theirOptions) check() error {
	if o.config != "" {
		if info, err := os.Stat(o.config); err != nil || !info.IsDir() {
			return refusal(fmt.Sprintf(textNoDirectory, o.config))
		}
	}
	if o.logLevel != "" {
		if _, err := logtarget.ParseLevel(o.logLevel); err != nil {
			return refusal(fmt.Sprintf(textNoLevel, control.Repr(o.logLevel)))
		}
	}
	return nil
}

// long reads one long option, whose name may be cut as long as it is clear.
func (o *theirOptions) long(name, word string, rest []string, out io.Writer) ([]string, error) {
	key, value, given := strings.Cut(word, "=")
	full := key
	if _, ok := theirLong[key]; !ok {
		var found []string
		for option := range theirLong {
			if strings.HasPrefix(option, key) {
				found = append(found, option)
			}
		}
		if len(found) != 1 {
			return nil, errUsage
		}
		full = found[0]
	}
	switch wants := theirLong[full]; {
	case !wants && given:
		return nil, errUsage
	case wants && !given:
		if len(rest) == 0 {
			return nil, errUsage
		}
		value, rest = rest[0], rest[1:]
	}
	return rest, o.set(name, full, value, out)
}

// short reads a word of one-letter options.
func (o *theirOptions) short(name, letters string, rest []string, out io.Writer) ([]string, error) {
	longNames := map[byte]string{'c': "conf", 's': "socket", 'p': "pidfile", 't': "test", 'h': "help"}
	for i := 0; i < len(letters); i++ {
		letter := letters[i]
		option := longNames[letter]
		switch letter {
		case 'c', 's', 'p':
			value := letters[i+1:]
			if value == "" {
				if len(rest) == 0 {
					return nil, errUsage
				}
				value, rest = rest[0], rest[1:]
			}
			return rest, o.set(name, option, value, out)
		case 'd':
			o.dump = true
		case 'i':
			o.interactive = true
		case 'v':
			o.verbose++
		case 'q':
			o.verbose--
		case 'x':
			o.force = true
		case 'b':
			o.foreground = false
		case 'f':
			o.foreground = true
		case 'V':
			fmt.Fprintln(out, theirVersion)
			return nil, errShown
		case 't', 'h':
			if err := o.set(name, option, "", out); err != nil {
				return nil, err
			}
		default:
			return nil, errUsage
		}
	}
	return rest, nil
}

func (o *theirOptions) set(name, option, value string, out io.Writer) error {
	switch option {
	case "conf":
		o.config = value
	case "socket":
		o.socket = value
	case "pidfile":
		o.pidFile = value
	case "loglevel":
		o.logLevel = value
	case "logtarget":
		o.logTarget = value
	case "syslogsocket":
		o.syslogPlace = value
	case "test":
		o.test = true
	case "async":
		o.async = true
	case "dp", "dump-pretty":
		o.dump, o.pretty = true, true
	case "timeout":
		d, err := config.ParseDuration(value)
		if err != nil {
			return unreadTime("timeout", value, err)
		}
		o.timeout = d
	case "str2sec":
		n, err := config.ParseSeconds(value)
		if err != nil {
			return unreadTime("str2sec", value, err)
		}
		fmt.Fprintln(out, n)
		return errShown
	case "help":
		theirUsage(name, out)
		return errShown
	case "version":
		fmt.Fprintf(out, "Fail2Ban v%s\n", theirVersion)
		return errShown
	}
	return nil
}

// unreadTime is the error of an option whose time cannot be read; where a name
// in it is not known, in the words of Python, which fail2ban leaves that to.
func unreadTime(option, value string, err error) error {
	if name := (*formula.NameError)(nil); errors.As(err, &name) {
		return fmt.Errorf("name %s is not defined", control.Repr(name.Name))
	}
	return fmt.Errorf("--%s %s: %w", option, value, err)
}

// dir is the configuration directory: fail2ban's, unless only ours holds jails.
func (o *theirOptions) dir() string {
	switch {
	case o.config != "":
		return o.config
	case !holdsJails(fail2banDir) && holdsJails(ownDir):
		return ownDir
	}
	return fail2banDir
}

// options says what to read: the directory over the embedded configuration, and
// under the options of the command line.
func (o *theirOptions) options() config.Options {
	out := config.Options{Dir: o.dir(), Stock: stock.FS(), Superseded: stock.Superseded}
	if abs, err := filepath.Abs(out.Dir); err == nil {
		out.Dir = abs
	}
	out.Overrides.Main = map[string]string{}
	for name, value := range map[string]string{
		"socket": o.socket, "pidfile": o.pidFile, "loglevel": o.logLevel, "logtarget": o.logTarget, "syslogsocket": o.syslogPlace,
	} {
		if value != "" {
			// The text is a path or a name, and no %(option)s in it is meant.
			out.Overrides.Main[name] = strings.ReplaceAll(value, "%", "%%")
		}
	}
	return out
}

// theirLog writes a line as fail2ban's programs log to stderr.
func theirLog(w io.Writer, level, text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(w, "%s %-24s[%d]: %-7s %s\n", time.Now().Format("2006-01-02 15:04:05,000"), "fail2ban", os.Getpid(), level, printable([]byte(strings.TrimRight(line, "\n"))))
	}
}
