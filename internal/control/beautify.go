package control

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Beautifier writes replies as fail2ban-client prints them.
type Beautifier struct {
	// ASCII draws the table of `stats` without line characters, for a
	// terminal that is not UTF-8.
	ASCII bool
}

// errShape says that a reply does not have the form that its command has.
var errShape = errors.New("reply has another form")

// Beautify returns what fail2ban-client prints on stdout for the value of a
// reply, without the last newline. Where the value does not fit the command,
// the text is the raw one that fail2ban-client prints then, and the error's
// text what it logs.
func (b Beautifier) Beautify(cmd []string, value any) (string, error) {
	t := text{cmd: cmd, value: value, msg: value, ascii: b.ASCII}
	if err := t.write(); err != nil {
		return Repr(t.msg) + Repr(t.value), fmt.Errorf("Beautify %s with %s failed", Repr(t.value), Repr(cmd))
	}
	return Str(t.msg), nil
}

// BeautifyError returns what fail2ban-client prints on stdout for an exception.
// On stderr it logs ErrorLine.
func BeautifyError(e *Exception) string {
	switch {
	case e.is(unknownJail) && len(e.Args) > 0:
		return "Sorry but the jail '" + Str(e.Args[0]) + "' does not exist"
	case e.is(indexError):
		return "Sorry but the command is invalid"
	case e.is(duplicateJail) && len(e.Args) > 0:
		return "The jail '" + Str(e.Args[0]) + "' already exists"
	}
	return e.Error()
}

// ErrorLine returns what fail2ban-client logs for an exception, at level ERROR.
func ErrorLine(e *Exception) string {
	args := e.Args
	if e.ofSystem() {
		args = args[:2] // Python keeps the file's name apart
	}
	return "NOK: " + Repr(Tuple(args))
}

// text is a text that is being written. msg grows as fail2ban-client's does:
// where a value does not fit, it prints what it has so far.
type text struct {
	cmd   []string
	value any
	msg   any
	ascii bool
}

func (t *text) write() error {
	if len(t.cmd) == 0 {
		return errShape
	}
	switch t.cmd[0] {
	case "ping":
		return t.prefix("Server replied: ")
	case "version":
		return nil
	case "start":
		t.msg = "Jail started"
	case "stop":
		switch {
		case t.value != nil:
		case len(t.cmd) == 1:
			t.msg = "Shutdown successful"
		default:
			t.msg = "Jail stopped"
		}
	case "add":
		return t.prefix("Added jail ")
	case "flushlogs":
		return t.prefix("logs: ")
	case "echo":
		return t.join(" ")
	case "status":
		return t.status()
	case "stats", "statistics":
		return t.stats()
	default:
		return t.option()
	}
	return nil
}

// prefix writes a value that must be text after a label.
func (t *text) prefix(label string) error {
	s, ok := t.value.(string)
	if !ok {
		return errShape
	}
	t.msg = label + s
	return nil
}

// join writes a list of texts.
func (t *text) join(separator string) error {
	s, err := joined(t.value, separator)
	if err == nil {
		t.msg = s
	}
	return err
}

// option writes the value of "get" and "set".
func (t *text) option() error {
	if len(t.cmd) >= 2 {
		if done, err := t.serverOption(); done || err != nil {
			return err
		}
	}
	if len(t.cmd) < 3 {
		return nil
	}
	switch t.cmd[2] {
	case "logpath", "addlogpath", "dellogpath":
		return t.tree("No file is currently monitored", "Current monitored log file(s):\n", false)
	case "ignoreip", "addignoreip", "delignoreip":
		return t.tree("No IP address/network is ignored", "These IP addresses/networks are ignored:\n", false)
	case "failregex", "addfailregex", "delfailregex", "ignoreregex", "addignoreregex", "delignoreregex":
		return t.tree("No regular expression is defined", "The following regular expression are defined:\n", true)
	case "logencoding":
		return t.after("Current log encoding is set to:\n")
	case "journalmatch", "addjournalmatch", "deljournalmatch":
		return t.journalMatch()
	case "datepattern":
		return t.datePattern()
	case "actions":
		return t.names("No actions for jail "+t.cmd[1], "The jail "+t.cmd[1]+" has the following actions:\n")
	case "actionproperties", "actionmethods":
		return t.actionNames(strings.TrimPrefix(t.cmd[2], "action"))
	case "banip":
		if _, isList := t.value.([]any); !isList || t.cmd[0] != "get" {
			return nil
		}
		separator := " "
		if len(t.cmd) > 3 {
			separator = t.cmd[3]
		}
		if separator == "--with-time" {
			separator = "\n"
		}
		return t.join(separator)
	}
	return nil
}

// serverOption writes the value of an option of the server.
func (t *text) serverOption() (done bool, err error) {
	switch t.cmd[1] {
	case "syslogsocket":
		return true, t.after("Current syslog socket is:\n", "`- ")
	case "logtarget":
		return true, t.after("Current logging target is:\n", "`- ")
	case "loglevel":
		level := t.value
		if n, ok := level.(int64); ok {
			level = levelName(n)
		}
		t.msg = "Current logging level is " + Repr(level)
		return true, nil
	case "dbfile":
		if t.value == nil {
			t.msg = "Database currently disabled"
			return true, nil
		}
		return true, t.after("Current database file is:\n", "`- ")
	case "dbpurgeage":
		return true, t.purgeAge()
	}
	return false, nil
}

// levelName is the name that fail2ban has for a level of Python's logging.
func levelName(n int64) string {
	names := map[int64]string{50: "CRITICAL", 40: "ERROR", 30: "WARNING", 25: "NOTICE", 20: "INFO", 18: "MSG",
		10: "DEBUG", 7: "TRACE", 5: "HEAVY", 0: "NOTSET"}
	if name, ok := names[n]; ok {
		return name
	}
	if n > 0 && n < 50 {
		return fmt.Sprintf("#%02d-Lev.", n)
	}
	return fmt.Sprintf("Level %d", n)
}

func (t *text) purgeAge() error {
	if t.value == nil {
		t.msg = "Database currently disabled"
		return nil
	}
	const label = "Current database purge age is:\n"
	t.msg = label
	switch v := t.value.(type) {
	case int64:
		t.msg = fmt.Sprintf("%s`- %dseconds", label, v)
	case float64:
		t.msg = fmt.Sprintf("%s`- %.0fseconds", label, v)
	default:
		return errShape
	}
	return nil
}

// after writes labels and a value that must be text.
func (t *text) after(first string, more ...string) error {
	t.msg = first
	s, ok := t.value.(string)
	if !ok {
		return errShape
	}
	t.msg = first + strings.Join(more, "") + s
	return nil
}

// tree writes a list as a tree of one level, numbered or not.
func (t *text) tree(none, label string, numbered bool) error {
	items, err := elements(t.value)
	if err != nil {
		return err
	}
	if len(items) == 0 {
		t.msg = none
		return nil
	}
	msg := label
	t.msg = msg
	if _, isDict := t.value.(Dict); isDict {
		return errShape
	}
	for i, item := range items {
		s, ok := item.(string)
		if !ok {
			return errShape
		}
		branch := branchOf(i, len(items)) + " "
		if numbered {
			branch += fmt.Sprintf("[%d]: ", i)
		}
		msg += branch + s
		if i < len(items)-1 {
			msg += "\n"
		}
		t.msg = msg
	}
	return nil
}

func branchOf(i, n int) string {
	if i == n-1 {
		return "`-"
	}
	return "|-"
}

// names writes a list of names on one line.
func (t *text) names(none, label string) error {
	items, err := elements(t.value)
	if err != nil {
		return err
	}
	if len(items) == 0 {
		t.msg = none
		return nil
	}
	t.msg = label
	s, err := joined(t.value, ", ")
	if err == nil {
		t.msg = label + s
	}
	return err
}

func (t *text) actionNames(what string) error {
	if len(t.cmd) < 4 {
		return errShape
	}
	return t.names(fmt.Sprintf("No %s for jail %s action %s", what, t.cmd[1], t.cmd[3]),
		fmt.Sprintf("The jail %s action %s has the following %s:\n", t.cmd[1], t.cmd[3], what))
}

func (t *text) journalMatch() error {
	alternatives, err := elements(t.value)
	if err != nil {
		return err
	}
	if len(alternatives) == 0 {
		t.msg = "No journal match filter set"
		return nil
	}
	const label = "Current match filter:\n"
	t.msg = label
	texts := make([]string, len(alternatives))
	for i, matches := range alternatives {
		if texts[i], err = joined(matches, " "); err != nil {
			return err
		}
	}
	t.msg = label + strings.Join(texts, " + ")
	return nil
}

func (t *text) datePattern() error {
	const label = "Current date pattern set to: "
	t.msg = label
	if t.value == nil {
		t.msg = label + "Not set/required"
		return nil
	}
	pattern, err := element(t.value, 0)
	if err != nil {
		return err
	}
	name, err := element(t.value, 1)
	if err != nil {
		return err
	}
	if pattern == nil {
		t.msg = label + Str(name)
		return nil
	}
	if pair, ok := t.value.(Tuple); !ok || len(pair) != 2 {
		return errShape
	}
	t.msg = label + Str(pattern) + " (" + Str(name) + ")"
	return nil
}

// elements returns what Python would walk over: the elements of a list or
// tuple, the keys of a dict, the characters of a text.
func elements(v any) ([]any, error) {
	switch v := v.(type) {
	case []any:
		return v, nil
	case Tuple:
		return v, nil
	case Dict:
		keys := make([]any, len(v))
		for i, p := range v {
			keys[i] = p.Key
		}
		return keys, nil
	case string:
		chars := []any{}
		for _, r := range v {
			chars = append(chars, string(r))
		}
		return chars, nil
	}
	return nil, errShape
}

// element returns element i of a list, tuple or text.
func element(v any, i int) (any, error) {
	if _, isDict := v.(Dict); isDict {
		return nil, errShape
	}
	items, err := elements(v)
	if err != nil || i >= len(items) {
		return nil, errShape
	}
	return items[i], nil
}

// joined joins elements that must be texts.
func joined(v any, separator string) (string, error) {
	items, err := elements(v)
	if err != nil {
		return "", err
	}
	if slices.ContainsFunc(items, func(item any) bool { _, ok := item.(string); return !ok }) {
		return "", errShape
	}
	return joinedStr(items, separator), nil
}

// joinedStr joins the Str of elements.
func joinedStr(items []any, separator string) string {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = Str(item)
	}
	return strings.Join(texts, separator)
}
