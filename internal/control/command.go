package control

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// command is the words of a command. A word that is asked for and not there is
// fail2ban's IndexError.
type command []any

func (c command) at(i int) (any, error) {
	if i >= len(c) {
		return nil, errorIndex()
	}
	return c[i], nil
}

// is tells whether word i is there and is this text.
func (c command) is(i int, text string) bool {
	return i < len(c) && c[i] == text
}

// text returns word i as configuration files have it.
func (c command) text(i int) (string, error) {
	v, err := c.at(i)
	return configText(v), err
}

// texts returns the words from i on.
func (c command) texts(i int) []string {
	if i >= len(c) {
		return nil
	}
	return configTexts(c[i:])
}

func configTexts(list []any) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = configText(v)
	}
	return out
}

// configText writes a value as configuration files have it: a client sends the
// numbers and booleans that it read as such.
func configText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	}
	return Repr(v)
}

// integer reads word i as Python's int does.
func (c command) integer(i int) (int, error) {
	v, err := c.at(i)
	if err != nil {
		return 0, err
	}
	switch v := v.(type) {
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	case int64:
		return int(v), nil
	case float64:
		if v > -1<<53 && v < 1<<53 {
			return int(v), nil
		}
	case string:
		if n, err := strconv.Atoi(strings.TrimSpace(v)); err == nil {
			return n, nil
		}
	}
	return 0, ErrorValue("invalid literal for int() with base 10: %s", Repr(v))
}

// object reads word i as the text of a JSON object; {} where it is absent.
func (c command) object(i int) (json.RawMessage, error) {
	if i >= len(c) {
		return json.RawMessage("{}"), nil
	}
	return jsonObject(c[i])
}

func jsonObject(v any) (json.RawMessage, error) {
	text, ok := v.(string)
	var object map[string]json.RawMessage
	if !ok || json.Unmarshal([]byte(text), &object) != nil || object == nil {
		return nil, ErrorValue("no JSON object: %s", Repr(v))
	}
	return json.RawMessage(text), nil
}

// list reads word i as a list.
func (c command) list(i int) ([]any, error) {
	v, err := c.at(i)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case []any:
		return v, nil
	case Tuple:
		return v, nil
	}
	return nil, ErrorValue("no list: %s", Repr(v))
}

// seconds is a duration as fail2ban replies it: an int where it is whole.
func seconds(d time.Duration) any {
	if d%time.Second == 0 {
		return int64(d / time.Second)
	}
	return d.Seconds()
}

// change reads the words after "set JAIL": the option and its values. known is
// false for what is no option of a jail. many is true in a multi-set, where
// the regexes are one list.
func (c command) change(many bool) (change Change, known bool, err error) {
	word, err := c.text(0)
	if err != nil {
		return Change{}, true, err
	}
	switch word {
	case "idle":
		change, err = c.idle()
	case "ignoreself", "ignorecommand", "ignorecache", "logencoding", "prefregex", "usedns",
		"findtime", "datepattern", "logtimezone", "bantime":
		change, err = c.assign(word)
	case "maxmatches", "maxretry", "maxlines":
		var n int
		n, err = c.integer(1)
		change = Change{Option: word, Values: []string{strconv.Itoa(n)}}
	case "addignoreip", "addjournalmatch", "deljournalmatch":
		change = Change{Option: word[3:], Op: addOrDelete(word), Values: c.texts(1)}
	case "delignoreip", "dellogpath":
		change, err = c.assign(word[3:])
		change.Op = Delete
	case "addlogpath":
		change, err = c.logPath()
	case "addfailregex", "addignoreregex":
		change, err = c.regexes(word[3:], many)
	case "delfailregex", "delignoreregex":
		change = Change{Option: word[3:], Op: Delete}
		change.Index, err = c.integer(1)
	default:
		if !strings.HasPrefix(word, "bantime.") {
			return Change{}, false, nil
		}
		change, err = c.assign(word)
	}
	return change, true, err
}

func addOrDelete(word string) ChangeOp {
	if strings.HasPrefix(word, "add") {
		return Add
	}
	return Delete
}

func (c command) assign(option string) (Change, error) {
	value, err := c.text(1)
	return Change{Option: option, Values: []string{value}}, err
}

func (c command) idle() (Change, error) {
	change, err := c.assign("idle")
	if err == nil && change.Values[0] != "on" && change.Values[0] != "off" {
		err = ErrorPlain("Invalid idle option, must be 'on' or 'off'")
	}
	return change, err
}

func (c command) logPath() (Change, error) {
	change, err := c.assign("logpath")
	if err != nil {
		return change, err
	}
	change.Op = Add
	switch len(c) {
	case 2:
	case 3:
		where := strings.ToLower(configText(c[2]))
		if where != "head" && where != "tail" {
			return change, ErrorValue("File option must be 'head' or 'tail'")
		}
		change.Tail = where == "tail"
	default:
		return change, ErrorValue("Only one file can be added at a time")
	}
	return change, nil
}

func (c command) regexes(option string, many bool) (Change, error) {
	if many {
		list, err := c.list(1)
		return Change{Option: option, Op: Add, Values: configTexts(list)}, err
	}
	change, err := c.assign(option)
	change.Op = Add
	return change, err
}

// serverChange reads the words after "set": an option of the server and its
// value. known is false for any other word.
func (c command) serverChange() (change ServerChange, known bool, err error) {
	word, err := c.text(0)
	if err != nil {
		return ServerChange{}, true, err
	}
	switch word {
	case "loglevel", "logtarget", "syslogsocket", "allowipv6", "dbfile", "dbpurgeage":
		value, err := c.text(1)
		return ServerChange{Option: word, Value: value}, true, err
	case "dbmaxmatches":
		n, err := c.integer(1)
		return ServerChange{Option: word, Value: strconv.Itoa(n)}, true, err
	case "thread":
		change, err := c.threadChange()
		return change, true, err
	}
	return ServerChange{}, false, nil
}

// threadChange reads the one option that threads have: {'stacksize': KiB}.
func (c command) threadChange() (ServerChange, error) {
	v, err := c.at(1)
	if err != nil {
		return ServerChange{}, err
	}
	options, ok := v.(Dict)
	if !ok {
		return ServerChange{}, ErrorValue("no thread options: %s", Repr(v))
	}
	change := ServerChange{Option: "thread.stacksize", Value: "0"}
	for _, p := range options {
		if p.Key != "stacksize" {
			return ServerChange{}, keyError.with(fmt.Sprintf("unknown option %s", Repr(p.Key)))
		}
		n, err := command{p.Value}.integer(0)
		if err != nil {
			return ServerChange{}, err
		}
		change.Value = strconv.Itoa(n)
	}
	return change, nil
}
