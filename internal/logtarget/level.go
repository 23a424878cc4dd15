package logtarget

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
)

// Level is how important a line is, in Python's numbers.
type Level int

// The levels, with fail2ban's additions to Python's.
const (
	HeavyDebug Level = 5
	TraceDebug Level = 7
	Debug      Level = 10
	Msg        Level = 18
	Info       Level = 20
	Notice     Level = 25
	Warning    Level = 30
	Error      Level = 40
	Critical   Level = 50
)

var levelNames = map[Level]string{
	0: "NOTSET", HeavyDebug: "HEAVYDEBUG", TraceDebug: "TRACEDEBUG", Debug: "DEBUG", Msg: "MSG", Info: "INFO", Notice: "NOTICE",
	Warning: "WARNING", Error: "ERROR", Critical: "CRITICAL",
}

// String returns the level's name, "Level 17" where it has none, as in Python.
func (l Level) String() string {
	if s, ok := levelNames[l]; ok {
		return s
	}
	return "Level " + strconv.Itoa(int(l))
}

// ParseLevel reads a loglevel as fail2ban does: a name in any case, or a number.
func ParseLevel(s string) (Level, error) {
	name := strings.ToUpper(strings.TrimSpace(s))
	switch name {
	case "WARN":
		return Warning, nil
	case "FATAL":
		return Critical, nil
	}
	for l, n := range levelNames {
		if n == name {
			return l, nil
		}
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 0 {
		return Level(n), nil
	}
	return 0, fmt.Errorf("log level %q is not known: expected a number, or CRITICAL, ERROR, WARNING, NOTICE, INFO, MSG, DEBUG, TRACEDEBUG or HEAVYDEBUG", s)
}

// fromSlog returns the level of a message of the service's own.
func fromSlog(l slog.Level) Level {
	switch {
	case l >= slog.LevelError:
		return Error
	case l >= slog.LevelWarn:
		return Warning
	case l > slog.LevelInfo:
		return Notice
	case l == slog.LevelInfo:
		return Info
	}
	return Debug
}

// priority returns the level in syslog's numbers (syslog(3)): what is none of
// Python's own levels and not fail2ban's NOTICE goes as a warning there.
func (l Level) priority() int {
	switch l {
	case Critical:
		return 2
	case Error:
		return 3
	case Notice:
		return 5
	case Info:
		return 6
	case Debug:
		return 7
	}
	return 4
}
