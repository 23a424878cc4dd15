package config

import (
	"fmt"
	"strings"
)

// maxTag is how often fail2ban replaces one tag within one value before it
// takes the definition for one that never ends.
const maxTag = 25

// splitCondition takes an option that holds on a condition apart, such as
// name?family=inet6; the condition has its question mark.
func splitCondition(option string) (name, condition string, ok bool) {
	name, rest, _ := strings.Cut(option, "?")
	if rest == "" || !isName(name, "_") {
		return "", "", false
	}
	return name, "?" + rest, true
}

// tagAt returns the first <tag> of s at or after from: any run of characters
// but blank, "<" and ">". start < 0: there is none.
func tagAt(s string, from int) (start, end int) {
	for i := from; i < len(s); {
		n := strings.IndexByte(s[i:], '<')
		if n < 0 {
			return -1, -1
		}
		i += n
		stop := strings.IndexAny(s[i+1:], " <>")
		if stop < 0 {
			return -1, -1
		}
		if stop > 0 && s[i+1+stop] == '>' {
			return i, i + stop + 2
		}
		i++
	}
	return -1, -1
}

// substitution replaces tags by one another until none is left that anybody knows.
type substitution struct {
	tags   *section
	ignore map[string]bool                       // tags that are neither replaced nor looked into
	more   func(name string) (text, bool, error) // further tags, where tags has none
	counts map[string]map[string]int             // how often, per value and tag
	done   map[string]bool
}

// substituteTags replaces every <tag> in the values of tags by the value of that
// name, again and again: "<a-<b>>" is composed from the inside. Tags that nobody
// knows stay.
func substituteTags(tags *section, ignore map[string]bool, more func(string) (text, bool, error)) error {
	s := &substitution{tags: tags, ignore: ignore, more: more, counts: map[string]map[string]int{}, done: map[string]bool{}}
	for again := true; again; {
		again = false
		for _, tag := range s.tags.keys {
			if ignore[tag] || s.done[tag] {
				continue
			}
			before := s.tags.opts[tag]
			after, err := s.value(tag, before)
			if err != nil {
				return err
			}
			if after.s != before.s {
				if start, _ := tagAt(after.s, 0); start >= 0 {
					again = true
				}
				s.tags.opts[tag] = after
			}
			s.done[tag] = !strings.Contains(after.s, "<")
		}
	}
	return nil
}

// value replaces the tags in one value.
func (s *substitution) value(tag string, v text) (text, error) {
	counts := s.counts[tag]
	for start, end := tagAt(v.s, 0); start >= 0; {
		name := v.s[start+1 : end-1]
		if s.ignore[name] {
			start, end = tagAt(v.s, end)
			continue
		}
		if name == tag || counts[name] > maxTag {
			return v, inOption(&wrong{at: v.at(start), text: v.s[start:end], msg: "the tag leads back to itself"}, tag)
		}
		repl, ok := s.tags.get(name)
		if !ok {
			var err error
			if repl, ok, err = s.more(name); err != nil {
				return v, err
			}
		}
		if !ok {
			start, end = tagAt(v.s, end)
			continue
		}
		if counts == nil {
			counts = map[string]int{}
			s.counts[tag] = counts
		}
		counts[name]++
		at, short := v.at(start), v.s[start:end]
		if v, ok = v.replaceAll(short, repl); !ok {
			return v, inOption(&wrong{at: at, text: short, msg: fmt.Sprintf("grows beyond %d bytes when its tags are filled in", maxText)}, tag)
		}
		start, end = tagAt(v.s, start)
	}
	return v, nil
}
