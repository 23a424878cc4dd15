package main

import (
	"fmt"
	"strings"

	"github.com/f2bpipe/f2bpipe/internal/config"
)

// openJournal takes systemd-journal[journalpath=…].
func (t *regexTest) openJournal(log string) error {
	_, params, err := config.SplitOptions(log)
	if err != nil {
		return fmt.Errorf("ERROR: %s: %w", log, err)
	}
	t.journal, t.encoding = params, t.opts.encoding
	t.say("Use         systemd journal")
	t.say("Use         encoding : %s", t.encoding)
	if words := t.journalWords(); len(words) > 0 {
		t.say("Use    journal match : %s", strings.Join(words, " "))
	}
	return nil
}

// journalWords are the words of the journal match: the command line's, else the filter's.
func (t *regexTest) journalWords() []string {
	if t.opts.journalmatch != nil {
		return strings.Fields(*t.opts.journalmatch)
	}
	var out []string
	for i, match := range t.rules.Journalmatch {
		if i > 0 {
			out = append(out, "+")
		}
		for _, v := range match {
			out = append(out, v.Text)
		}
	}
	return out
}

// journalMatches are the alternatives of the journal match.
func (t *regexTest) journalMatches() [][]string {
	var out [][]string
	for _, word := range t.journalWords() {
		if word == "+" || len(out) == 0 {
			out = append(out, nil)
		}
		if word != "+" {
			out[len(out)-1] = append(out[len(out)-1], word)
		}
	}
	return out
}
