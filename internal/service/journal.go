package service

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/sources"
)

// systemOnly is the default of journalflags, as fail2ban's: what a user's
// processes log is left out (SD_JOURNAL_SYSTEM_ONLY), in which anybody may call
// himself sshd.
const systemOnly = 4

// journalUse is what a jail reads of the systemd journal.
type journalUse struct {
	options sources.JournalOptions // without matches: jails with the same share a reader
	matches [][]string
}

// journalUseOf returns what the jail reads of the journal, nil where it reads
// files: backend = systemd reads nothing else, auto reads it where no log file
// is there when the configuration is read.
func journalUseOf(c *config.Jail) (*journalUse, error) {
	found := slices.ContainsFunc(c.LogPaths, func(p config.LogPath) bool { return len(p.Expand()) > 0 })
	if checkedJournal(c, found) == nil {
		return nil, nil
	}
	var params []config.Param
	if c.Backend.Name == "systemd" {
		params = c.Backend.Params
	}
	use := &journalUse{}
	var err error
	if use.options, err = journalOptions(params); err != nil {
		return nil, wrongOption(c, "backend", c.Backend.Value, err)
	}
	if v, ok := c.Options["journalline"]; ok {
		switch v.Text {
		case "message":
			use.options.MessageOnly = true
		case "full", "":
		default:
			return nil, wrongOption(c, "journalline", v, fmt.Errorf("%q: expected full (the line as fail2ban has it) or message (MESSAGE alone)", v.Text))
		}
	}
	use.matches = texts2(alternatives(c.Journalmatch))
	if len(sources.MatchFields(use.matches)) > sources.MaxJournalFields {
		return nil, wrongOption(c, "journalmatch", c.Journalmatch[0][0], fmt.Errorf("it has more than %d different fields", sources.MaxJournalFields))
	}
	return use, nil
}

// journalOptions reads the parameters of the backend systemd.
func journalOptions(params []config.Param) (o sources.JournalOptions, err error) {
	flags := ""
	for _, p := range params {
		switch v := p.Value.Text; strings.ToLower(p.Name) {
		case "journalpath":
			o.Path = v
		case "journalfiles":
			o.Files = strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' })
		case "journalflags":
			flags = v
		case "namespace":
			o.Namespace = v
		case "rotated":
			n, err := strconv.Atoi(v)
			if err != nil {
				return o, fmt.Errorf("rotated = %q: expected 0 or 1", v)
			}
			o.NoRotated = n == 0
		default:
			return o, fmt.Errorf("parameter %q of systemd is not known: expected journalpath, journalfiles, journalflags, namespace or rotated", p.Name)
		}
	}
	switch {
	case flags == "" && o.Path == "" && len(o.Files) == 0:
		o.Flags = systemOnly
		if n, err := strconv.Atoi(os.Getenv("F2B_SYSTEMD_DEFAULT_FLAGS")); err == nil {
			o.Flags = n
		}
	case flags != "":
		if o.Flags, err = strconv.Atoi(flags); err != nil || o.Flags < 0 {
			return o, fmt.Errorf("journalflags = %q: expected a number, see sd_journal_open(3)", flags)
		}
	}
	return o, nil
}

// journalName is what the journal is called in status and in the store: for the
// system's own, fail2ban's name.
func journalName(o sources.JournalOptions) string {
	var params []string
	add := func(name, value string) {
		if value != "" {
			params = append(params, name+"="+value)
		}
	}
	add("journalpath", o.Path)
	add("journalfiles", strings.Join(o.Files, ","))
	add("namespace", o.Namespace)
	if o.Flags != systemOnly && o.Path == "" && len(o.Files) == 0 {
		add("journalflags", strconv.Itoa(o.Flags))
	}
	if o.NoRotated {
		add("rotated", "0")
	}
	if o.MessageOnly {
		add("journalline", "message")
	}
	if len(params) == 0 {
		return "systemd-journal"
	}
	return "systemd-journal[" + strings.Join(params, ", ") + "]"
}

// sameJournal says whether two jails read the same entries of the same journal,
// or neither reads one.
func sameJournal(a, b *jail) bool { return reflect.DeepEqual(a.journal, b.journal) }

// source says in a word where a jail's lines come from.
func (j *jail) source() string {
	if j.journal == nil {
		return "files"
	}
	return journalName(j.journal.options)
}
