package config

import "time"

// Jail is one jail with everything filled in. A jail that is not enabled has
// its Name, Options and Problems alone.
type Jail struct {
	Name    string
	Enabled bool
	// Problems are those that name the jail; an error among them disables it,
	// and then the other fields hold what could be read.
	Problems Problems

	Filter *Filter // nil: the jail has none; its own Rules may still match
	Rules          // what to match by: the filter's rules with the jail's own on top

	Backend     Backend
	LogPaths    []LogPath
	Logencoding Value // auto, or a codec's name
	Logtimezone Value // UTC+0200, Z, CET, …
	// SkipIfNoLogs: without any log file the jail is left out, which is no
	// error. SystemdIfNoLogs: it then rather reads the journal, where the
	// backend is auto and there is a journalmatch.
	SkipIfNoLogs, SystemdIfNoLogs bool

	MaxRetry   int           // failures that ban; below 1 is as 1, as in fail2ban
	FindTime   time.Duration // > 0
	BanTime    time.Duration // −1: permanent; else ≥ 0
	MaxMatches int           // matched lines kept per address; ≥ 0
	Increment  Increment
	Ignore     Ignore
	Actions    []Action
	Counter    Counter

	// Options are all options of the jail and of [DEFAULT], by name, as they are in force.
	Options map[string]Value

	commands []command
}

// Backend is where a jail's lines come from.
type Backend struct {
	Name   string // auto, polling, pyinotify, gamin, systemd
	Params []Param
	Value  Value // as written
}

// Increment is bantime.increment and what belongs to it: bans of those who
// were banned before last longer.
type Increment struct {
	Enabled bool
	// Factor, Formula and Multipliers say how long; Multipliers win over
	// Formula. Factor and Formula are expressions in Python's syntax, not set
	// where the jail leaves them at 1 and the default formula. See package formula.
	Factor, Formula Value
	Multipliers     []int64
	MaxTime         time.Duration // 0: no limit
	RndTime         time.Duration // a random part of it is added; 0: none
	OverallJails    bool          // bans of every jail count, not of this one alone
}

// Counter is how failures are counted (DESIGN: the window).
type Counter string

// The counters.
const (
	CounterFail2ban Counter = "fail2ban" // fail2ban's estimate
	CounterExact    Counter = "exact"    // an exact window
)

// Ignore is whom a jail never bans.
type Ignore struct {
	Self    bool         // the machine's own addresses
	List    []IgnoreItem // ignoreip, item by item
	Command Value        // a command with tags that decides; not set: none
	Cache   *IgnoreCache // nil: off
}

// IgnoreKind tells what an item of ignoreip is.
type IgnoreKind uint8

// The kinds.
const (
	IgnoreAddress IgnoreKind = iota + 1 // an address
	IgnoreNetwork                       // a network: ADDRESS/LENGTH or ADDRESS/MASK
	IgnoreName                          // a DNS name, or an ID that is no address
	IgnoreFile                          // file:PATH: a file of such items
)

// IgnoreItem is one item of ignoreip.
type IgnoreItem struct {
	Kind  IgnoreKind
	Value Value // as written; of a file the path alone
}

// IgnoreCache is ignorecache: how long a decision of ignorecommand holds.
type IgnoreCache struct {
	Key      Value // with tags, such as <ip>
	MaxCount int
	MaxTime  time.Duration
}

// LogPath is one line of logpath. The pattern stays one: files that appear
// later belong to it too.
type LogPath struct {
	Pattern Value // of a path, in the syntax of Python's glob; no pattern: one file
	Tail    bool  // new files are read from their end, not from their beginning
	Word    Value // what followed the path ("head", "tail"); not set: nothing
}

// files returns what the jail was read from.
func (j *Jail) files() []string {
	var out []string
	if j.Filter != nil {
		out = append(out, j.Filter.Files...)
	}
	for _, a := range j.Actions {
		out = append(out, a.Files...)
	}
	return out
}
