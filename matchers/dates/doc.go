// Package dates finds the date of a log line and says which moment it means,
// by fail2ban's date patterns (jail.conf(5), datepattern).
//
// # Patterns
//
// A date pattern is a regular expression in Python's syntax in which %-tokens
// stand for parts of a date: %Y-%m-%d. A [Detector] is compiled from the lines
// of a datepattern, or, without one, from fail2ban's defaults: 17 patterns, of
// which 14 stand a second time in front of the list, anchored at the begin of
// the line. These spellings are special:
//
//	{^LN-BEG}    in front: the date begins the line (two characters that are
//	             no word may precede it); alone: the anchored defaults
//	{DEFAULT}    alone: all defaults; among others it adds nothing, as in fail2ban
//	{DATE}       inside: the pattern once for each default in its place
//	{UNB}        in front: no word boundaries are added; so do ** at its
//	             begin or end, for that side
//	{NONE}       every line has an empty date, as with an empty group ()
//	EPOCH        seconds since 1970; LEPOCH milli- or microseconds too;
//	             {EPOCH}, {LEPOCH} the same inside a pattern
//	TAI64N       @ and 24 hexadecimal digits
//
// # The halves
//
// [Detector.Find] is the text half: it changes nothing, so that several
// goroutines may run it over lines of one input, each with a machine of its
// own. Which template is tried first it reads from an [Order], the memory of
// one input. [Order.Hit] is the ordered half: it learns from a date that was
// found, and must see the lines in their order. [Detector.Time] is the value
// half: it makes the moment of what Find captured.
//
// # Differences on purpose
//
// Fractions of a second are kept; fail2ban drops them. A local time that
// occurs twice (end of daylight saving time) is always the first of the two;
// fail2ban's answer depends on the line before.
package dates
