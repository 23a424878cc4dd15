package dates

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// defaultPatterns are fail2ban's, in its order.
var defaultPatterns = []string{
	`%ExY(?P<_sep>[-/.])%m(?P=_sep)%d(?:T|  ?)%H:%M:%S(?:[.,]%f)?(?:\s*%z)?`, // 2026-11-22T13:19:17.085Z, 2026/11/22 13:19:17
	`(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?`,                              // Nov 22 13:19:17, Sun Nov 22 13:19:17 2026
	`(?:%a )?%b %d %ExY %k:%M:%S(?:\.%f)?`,                                   // Sun Nov 22 2026 13:19:17
	`%d(?P<_sep>[-/])%m(?P=_sep)(?:%ExY|%Exy) %k:%M:%S`,                      // 22/11/2026 13:19:17
	`%d(?P<_sep>[-/])%b(?P=_sep)%ExY[ :]?%H:%M:%S(?:\.%f)?(?: %z)?`,          // 22/Nov/2026:13:19:17 +0000
	`%m/%d/%ExY:%H:%M:%S`,                                                    // 11/22/2026:13:19:17
	`%m-%d-%ExY %k:%M:%S(?:\.%f)?`,                                           // 11-22-2026 13:19:17.085
	`EPOCH`,                                                                  // 1795353557.085, audit(1795353557.085:1)
	`{^LN-BEG}%H:%M:%S`,                                                      // 13:19:17
	`^<%m/%d/%Exy@%H:%M:%S>`,                                                 // <11/22/26@13:19:17>
	`%Exy%Exm%Exd  ?%H:%M:%S`,                                                // 261122 13:19:17
	`%b %d, %ExY %I:%M:%S %p`,                                                // Nov 22, 2026 1:19:17 PM
	`^%b-%d-%Exy %k:%M:%S`,                                                   // Nov-22-26 13:19:17
	`%ExY%Exm%Exd(?:-|T|  ?)%ExH:?%ExM:?%ExS(?:[.,]%f)?(?:\s*%z)?`,           // 20261122T131917
	`(?:%Z )?(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?`,                      // UTC Nov 22 13:19:17
	`(?:%z )?(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?`,                      // +00:00 Nov 22 13:19:17
	`TAI64N`, // @400000006b02ebd50510ff40
}

// A list collects the templates of a detector as fail2ban's does: by patterns,
// without two of the same name.
type list struct {
	year      int
	templates []*template
	byKey     map[string]*template // every template made, under the spelling that it was asked by
	known     *defaultList         // of the year; nil while that is made
	made      map[string]*template // templates that known has not, by pattern
}

// newList returns the templates of the lines of a datepattern, or the
// defaults, not all of them compiled.
func newList(patterns []string, year int) (*list, error) {
	l := &list{year: year, byKey: map[string]*template{}, made: map[string]*template{}}
	if _, _, err := l.defaults(); err != nil { // what follows knows them by their keys
		return nil, err
	}
	for _, pattern := range patterns {
		if err := l.add(pattern); err != nil {
			return nil, fmt.Errorf("datepattern %q: %w", pattern, err)
		}
	}
	if len(l.templates) == 0 {
		if err := l.addDefaults(func(*template) bool { return true }); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// add appends what one line of a datepattern stands for.
func (l *list) add(pattern string) error {
	key := patternKey(pattern)
	t := l.byKey[key]
	if t == nil {
		var err error
		switch {
		case key == lineBeginMark:
			return l.addDefaults(func(t *template) bool { return t.flags&lineBegin != 0 })
		case key == "{DEFAULT}":
			// fail2ban adds nothing here; a list that stays empty gets the defaults.
			return nil
		case strings.Contains(key, exactDateMark):
			return l.addAround(pattern)
		case key == "{NONE}":
			t, err = l.make(unboundMark+"^", key)
		default:
			t, err = l.make(pattern, key)
		}
		if err != nil {
			return err
		}
	}
	return l.append(t, false)
}

// addDefaults appends those of the defaults that keep says, the anchored
// copies first. Names that a pattern before had are skipped.
func (l *list) addDefaults(keep func(*template) bool) error {
	skipKnown := len(l.templates) > 0
	defaults, copies, err := l.defaults()
	if err != nil {
		return err
	}
	for _, t := range slices.Concat(copies, defaults) {
		if !keep(t) {
			continue
		}
		if err := l.append(t, skipKnown); err != nil {
			return err
		}
	}
	return nil
}

// addAround appends the pattern once for each default, that default in the
// place of {DATE}.
func (l *list) addAround(pattern string) error {
	skipKnown := len(l.templates) > 0
	defaults, _, err := l.defaults()
	if err != nil {
		return err
	}
	for _, t := range defaults {
		around, err := l.wrap(t, func(s string) string { return replaceMarks(dateMark, pattern, unboundPattern(s)) })
		if err != nil {
			return err
		}
		if err := l.append(around, skipKnown); err != nil {
			return err
		}
	}
	return nil
}

// defaults returns the default templates and the anchored copies of those
// that are not anchored themselves.
func (l *list) defaults() (defaults, copies []*template, err error) {
	known, err := defaultsOf(l.year)
	if err != nil {
		return nil, nil, err
	}
	l.known = known
	for key, t := range known.byKey {
		if l.byKey[key] == nil {
			l.byKey[key] = t
		}
	}
	return known.defaults, known.copies, nil
}

// defaultLists are the *defaultList of the years that were asked for, of which
// a process sees a few.
var defaultLists sync.Map

// defaultList are the defaults of a year, shared by all detectors: nearly every
// jail has them.
type defaultList struct {
	list
	defaults, copies []*template

	mu    sync.Mutex
	other map[string]*template // compiled templates of other patterns
}

// maxShared bounds how many templates of other patterns are shared.
const maxShared = 128

// share keeps the compiled ones of templates, by pattern: a jail's date patterns
// are checked before they are used, and many jails have the same.
func (d *defaultList) share(templates map[string]*template) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for pattern, t := range templates {
		if t.ready && len(d.other) < maxShared {
			d.other[pattern] = t
		}
	}
}

// shared returns the compiled template of a pattern, or nil.
func (d *defaultList) shared(pattern string) *template {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.other[pattern]
}

func defaultsOf(year int) (*defaultList, error) {
	if known, ok := defaultLists.Load(year); ok {
		return known.(*defaultList), nil
	}
	l := &defaultList{list: list{year: year, byKey: map[string]*template{}}, other: map[string]*template{}}
	for _, pattern := range defaultPatterns {
		t, err := l.make(pattern, patternKey(pattern))
		if err != nil {
			return nil, err
		}
		l.defaults = append(l.defaults, t)
		if strings.HasPrefix(t.name, lineBeginMark) || strings.HasPrefix(t.name, "^") {
			continue
		}
		c, err := l.wrap(t, func(s string) string { return lineBeginMark + s })
		if err != nil {
			return nil, err
		}
		c.weight = anchoredWeight
		l.copies = append(l.copies, c)
	}
	for _, t := range slices.Concat(l.defaults, l.copies) {
		if err := t.compile(year); err != nil {
			return nil, err
		}
	}
	known, _ := defaultLists.LoadOrStore(year, l)
	return known.(*defaultList), nil
}

// wrap returns the template whose pattern is t's, changed by around. Epoch and
// TAI64N have no pattern: their name is taken as one.
func (l *list) wrap(t *template, around func(string) string) (*template, error) {
	if known := l.byKey[around(t.name)]; known != nil {
		return known, nil
	}
	if t.pattern == "" {
		name := around(t.name)
		return l.make(name, patternKey(name))
	}
	pattern := around(t.pattern)
	return l.make(pattern, patternKey(pattern))
}

// make returns the template of a pattern that is no list of others.
func (l *list) make(pattern, key string) (*template, error) {
	if t := l.byKey[key]; t != nil {
		return t, nil
	}
	if l.known != nil {
		if t := l.known.shared(pattern); t != nil {
			l.byKey[key] = t
			return t, nil
		}
	}
	t := l.special(pattern, key)
	if t == nil {
		var err error
		if t, err = newPattern(pattern, l.year); err != nil {
			return nil, fmt.Errorf("date pattern %q: %w", pattern, err)
		}
	}
	l.byKey[key] = t
	if l.known != nil {
		l.made[pattern] = t
	}
	return t, nil
}

// special returns the template of a pattern that consists of no tokens; nil
// where it is none of these.
func (l *list) special(pattern, key string) *template {
	if strings.Contains(key, "EPOCH") && replaceMarks(epochMark, pattern, "") != pattern {
		return newEpochPattern(pattern, strings.Contains(key, "LEPOCH"))
	}
	switch key {
	case "EPOCH", "LEPOCH":
		return newEpoch(key == "LEPOCH", false)
	case "^EPOCH", lineBeginMark + "EPOCH":
		return newEpoch(false, true)
	case "^LEPOCH", lineBeginMark + "LEPOCH":
		return newEpoch(true, true)
	case "TAI64N", "^TAI64N", lineBeginMark + "TAI64N":
		return newTAI64N(key != "TAI64N")
	}
	return nil
}

// errKnown is the error of a second template of one name.
var errKnown = errors.New("there is a template of this name already")

// append adds a template; one whose name is known is skipped or refused.
func (l *list) append(t *template, skipKnown bool) error {
	if slices.ContainsFunc(l.templates, func(have *template) bool { return have.name == t.name }) {
		if skipKnown {
			return nil
		}
		return fmt.Errorf("date pattern %q: %w", t.name, errKnown)
	}
	l.templates = append(l.templates, t)
	return nil
}

// patternKey is the spelling under which a pattern is known: letter case
// counts only where there are tokens.
func patternKey(pattern string) string {
	if strings.Contains(pattern, "%") {
		return pattern
	}
	return strings.ToUpper(pattern)
}
