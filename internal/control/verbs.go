package control

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// Verbs is what the service does for the commands of a control socket. All
// methods may be called at the same time. An error that is an *Exception goes to
// the client as it is (ErrorUnknownJail for a jail that is not there), any
// other one as a plain exception with its text, and ErrNotOffered as fail2ban's
// exception for a command that does not exist.
type Verbs interface {
	Lifecycle
	Jails
	Bans
	Settings
	Actions
	Streams
	Native
}

// ErrNotOffered is what a verb returns for an option, property or command that
// the service does not have.
var ErrNotOffered = errors.New("not offered")

// Lifecycle is the service as a whole.
type Lifecycle interface {
	// Version is what `version` answers.
	Version() string
	// Stop stops all jails and returns when their actions have. The process
	// ends after that, once the reply is written.
	Stop(ctx context.Context) error
	// FlushLogs reopens the log. rolled tells whether it is a file.
	FlushLogs(ctx context.Context) (rolled bool, err error)
	// ConfigError logs an error that a client found in the configuration.
	ConfigError(text string)
}

// Jails are the jails and their state.
type Jails interface {
	// JailNames lists the jails in the order in which they were made.
	JailNames(ctx context.Context) ([]string, error)
	// NotEnforced says why the kernel has no bans; empty: it has.
	NotEnforced(ctx context.Context) string
	// JailStatus returns the state of one jail; detail says what it must hold.
	JailStatus(ctx context.Context, jail string, detail Detail) (JailStatus, error)
	// AddJail makes a jail that does not run yet.
	AddJail(ctx context.Context, jail, backend string) error
	// StartJail lets a jail run; one that runs goes on.
	StartJail(ctx context.Context, jail string) error
	// StopJail stops a jail and removes it.
	StopJail(ctx context.Context, jail string) error
	// StopAllJails stops and removes every jail.
	StopAllJails(ctx context.Context) error
}

// Detail is how much of a jail's state is asked for.
type Detail int

const (
	Counts      Detail = iota // no lists of bans
	WithBans                  // who is banned
	WithOrigins               // and what network, country and registry they are of
)

// JailStatus is the state of a jail.
type JailStatus struct {
	Backend                     string
	FailedNow, FailedTotal      int
	Files                       []string
	Journal                     bool       // it reads the journal instead of files
	JournalMatch                [][]string // alternatives, each of matches that must all fit
	BannedNow, BannedTotal      int
	Banned                      []string // IDs in order of their bans; from WithBans on
	NotEnforced                 string   // why the kernel has no ban of it; empty: it has, or is not asked to
	ASNs, Countries, Registries []string // with WithOrigins; nil: could not be found out
}

// Ban is one ban in force.
type Ban struct {
	ID      string // address, network or other text
	At      time.Time
	BanTime time.Duration // negative: permanent
}

// Bans are what a person asks about bans and does to them.
type Bans interface {
	// BanList returns the bans of a jail in order of their beginning.
	BanList(ctx context.Context, jail string) ([]Ban, error)
	// IsBanned tells whether a jail has a ban of exactly this ID.
	IsBanned(ctx context.Context, jail, id string) (bool, error)
	// Ban bans the IDs in a jail and returns, when the bans are in force, how
	// many of them were not banned before.
	Ban(ctx context.Context, jail string, ids []string) (int, error)
	// Unban ends bans of a jail: of the IDs, and of what lies in them where
	// they are networks. It returns how many bans ended and which IDs had none.
	Unban(ctx context.Context, jail string, ids []string) (ended int, absent []string, err error)
	// UnbanEverywhere ends the bans of the IDs in all jails and the database.
	UnbanEverywhere(ctx context.Context, ids []string) (int, error)
	// UnbanAll ends all bans of all jails and forgets those in the database.
	UnbanAll(ctx context.Context) (int, error)
	// Attempt counts a failure of the ID, one for each match, at least one. It
	// returns 0 where the ID is ignored, else 1.
	Attempt(ctx context.Context, jail, id string, matches []string) (int, error)
}

// Settings are the options of the server and of jails that can be read and
// changed while it runs.
type Settings interface {
	// ServerSettings returns the options of the server.
	ServerSettings(ctx context.Context) (ServerSettings, error)
	// ChangeServer sets "loglevel", "logtarget", "syslogsocket", "allowipv6",
	// "dbfile", "dbmaxmatches", "dbpurgeage" or "thread.stacksize" to a value
	// as fail2ban.conf has it.
	ChangeServer(ctx context.Context, option, value string) error
	// JailSettings returns the options of a jail.
	JailSettings(ctx context.Context, jail string) (JailSettings, error)
	// ChangeJail changes one option of a jail.
	ChangeJail(ctx context.Context, jail string, c Change) error
}

// ServerSettings are the options of the server.
type ServerSettings struct {
	LogLevel, LogTarget, SyslogSocket string
	DBFile                            string // empty: no database
	DBMaxMatches                      int
	DBPurgeAge                        time.Duration
	StackSize                         int // of a thread in KiB; 0 is the system's
}

// JailSettings are the options of a jail.
type JailSettings struct {
	Idle           bool
	LogPaths       []string
	LogEncoding    string
	JournalMatch   [][]string
	PrefRegex      string
	FailRegex      []string
	IgnoreRegex    []string
	DatePattern    *DatePattern // nil: none set or needed
	LogTimeZone    string       // empty: none
	IgnoreSelf     bool
	IgnoreIP       []string
	IgnoreCommand  string
	IgnoreCache    *IgnoreCache // nil: none
	UseDNS         string
	FindTime       time.Duration
	BanTime        time.Duration // negative: permanent
	MaxRetry       int
	MaxMatches     int
	MaxLines       int
	BanTimeOptions map[string]any // of bantime.X by X: a bool, int, string; absent: not set
}

// DatePattern says how dates are found.
type DatePattern struct {
	Pattern string // empty: there is no single one
	Name    string // as for people
}

// IgnoreCache is how answers about ignored addresses are kept.
type IgnoreCache struct {
	Key      string
	MaxCount int
	MaxTime  time.Duration
}

// ChangeOp is what a Change does with its values.
type ChangeOp int

const (
	Assign ChangeOp = iota // the one value replaces what was
	Add                    // the values are added to the list
	Delete                 // the values, or the entry at Index, are removed from it
)

// Change is one change of a jail's option. Values have the form that jail.conf
// has them in: "5", "1d 12h", "true".
type Change struct {
	// Option is one of "idle", "ignoreself", "ignoreip", "ignorecommand",
	// "ignorecache", "logpath", "logencoding", "journalmatch", "prefregex",
	// "failregex", "ignoreregex", "usedns", "findtime", "datepattern",
	// "logtimezone", "maxmatches", "maxretry", "maxlines", "bantime" and
	// "bantime.X".
	Option string
	Op     ChangeOp
	Values []string
	Index  int  // of the regex that Delete removes
	Tail   bool // of a logpath: begin at its end
}

// Actions are the actions of a jail.
type Actions interface {
	// ActionNames lists the actions of a jail.
	ActionNames(ctx context.Context, jail string) ([]string, error)
	// Action returns an action; ErrorUnknownAction where the jail has none of
	// that name.
	Action(ctx context.Context, jail, action string) (Action, error)
	// AddAction adds an action of commands, or, with a file, one in Python,
	// whose arguments are a JSON object.
	AddAction(ctx context.Context, jail string, a NewAction) error
	// DeleteAction removes an action.
	DeleteAction(ctx context.Context, jail, action string) error
	// ChangeAction sets a property of an action.
	ChangeAction(ctx context.Context, jail, action, property, value string) error
	// CallAction calls a method of an action. args is a JSON object. The result
	// is a plain value.
	CallAction(ctx context.Context, jail, action, method string, args json.RawMessage) (any, error)
}

// NewAction is an action that a client adds.
type NewAction struct {
	Name string
	File string          // of a Python action; empty: an action of commands
	Args json.RawMessage // of a Python action: an object
}

// Action is what can be read and called of an action.
type Action struct {
	Properties []Property // a bool, int or string each
	Methods    []string
}

// Property is one property of an action.
type Property struct {
	Name  string
	Value any
}

// CommandProperties and CommandMethods are the names that fail2ban lists for an
// action of commands, sorted. "name" is the action's name and "actname" too; the
// two patterns and "banEpoch" are inner state of fail2ban's.
var (
	CommandProperties = []string{"ESCAPE_CRE", "ESCAPE_VN_CRE", "actionban", "actioncheck", "actionflush", "actionreban",
		"actionreload", "actionrepair", "actionstart", "actionstop", "actionunban", "actname", "banEpoch", "name", "timeout"}
	CommandMethods = []string{"ban", "clearAllParams", "consistencyCheck", "escapeTag", "executeCmd", "flush",
		"invalidateBanEpoch", "prolong", "reban", "reload", "replaceDynamicTags", "replaceTag", "start", "stop", "unban"}
)

// Streams are configurations that a client has read and sends whole. Nothing
// of one is in force before its method is called, and the service may refuse it
// whole.
type Streams interface {
	// Configure is the first configuration after the start, or one on top.
	Configure(ctx context.Context, s *Stream) error
	// Reload replaces the configuration of a jail or of all.
	Reload(ctx context.Context, o ReloadOptions, s *Stream) error
}

// ReloadOptions say what a reload does beyond taking new values.
type ReloadOptions struct {
	Jail     string // empty: all; those that are not in the stream then end
	Restart  bool   // stop the jails before
	Unban    bool   // end their bans
	IfExists bool   // no error where there is no such jail
}

// Stream is a configuration that a client sent.
type Stream struct {
	Server []ServerChange
	Jails  []*StreamJail // in the order of their first mention
	Errors []string      // that the client found and logs here
}

// ServerChange is an option of the server, as ChangeServer takes it.
type ServerChange struct {
	Option, Value string
}

// StreamJail is one jail of a Stream.
type StreamJail struct {
	Name    string
	Added   bool   // the stream makes it; else it changes one that is there
	Backend string // of an added one
	Changes []Change
	Actions []*StreamAction
	Started bool
}

// StreamAction is one action of a StreamJail.
type StreamAction struct {
	NewAction
	Added      bool // the stream adds it; else it changes one that is there
	Properties []StreamProperty
}

// StreamProperty is a property of an action of commands, or, for one in
// Python, a method with a JSON object as its arguments.
type StreamProperty struct {
	Name, Value string
}

// Native carries out our own commands.
type Native interface {
	// Native carries out a verb. args is JSON, the result is what encoding/json
	// writes.
	Native(ctx context.Context, verb string, args json.RawMessage) (any, error)
}
