// Package matchers finds the failures in lines: fail2ban's filters, exactly.
//
// A Filter is compiled once and shared. A Set is the matcher of one input: it
// holds every jail that watches it, finds a line's date once for all jails that
// agree on how dates look, and runs each jail's prefregex, failregex and
// ignoreregex over the line without its date.
//
// The rules of a jail that joins lines (maxlines) are searched for only while one
// of the lines joined is a candidate; the lines before it are taken then.
//
// The work has two halves. The stateless half decodes a line, finds its date
// and runs regular expressions. The ordered half sees only lines that matched:
// it settles the time (the clock, the last date, the year), merges sessions
// (<F-MLFID>) and names who failed.
//
// Differences from fail2ban, on purpose:
//   - lines that no rule can match are not looked at, so that the order in which
//     date templates are tried learns from the others alone: a log that mixes
//     forms which two templates read differently may be read differently
//     (Options.Exhaustive, which trying a filter uses, learns from all);
//   - for the date that a line without one takes, no more than the 64 KiB before
//     its batch are searched in lines that the jail does not match;
//   - times keep their fraction of a second where the log has one;
//   - a jail has up to 65,536 open sessions (32 MiB), not 100;
//   - a search with a backreference ends after a fixed number of steps, counted
//     as too complex.
package matchers
