package control

import (
	"errors"
	"testing"
)

// TestDispatch carries out commands that a command line cannot hold: with
// numbers, lists and dicts.
func TestDispatch(t *testing.T) {
	f := goldenService(t)
	d := &Dispatcher{Verbs: f}
	check := func(want string, words ...any) {
		t.Helper()
		v, err := d.Handle(t.Context(), words)
		got := Repr(v)
		var e *Exception
		if errors.As(err, &e) {
			got = Repr(e)
		} else if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%v\n got %s\nwant %s", words, got, want)
		}
	}
	list := func(v ...any) []any { return v }
	check("True", "multi-set", "sshd", "addfailregex", list("a", "b"))
	check("True", "multi-set", "sshd", "addignoreregex", Tuple{"c"})
	check("['a', 'b']", "get", "sshd", "failregex")
	check("['c']", "get", "sshd", "ignoreregex")
	check("ValueError(\"no list: 'a'\")", "multi-set", "sshd", "addfailregex", "a")
	check("IndexError('list index out of range')", "multi-set", "sshd", "addfailregex")
	check("7", "multi-set", "sshd", "maxretry", int64(7))
	check("1", "set", "sshd", "maxretry", true)
	check("0", "set", "sshd", "maxretry", false)
	check("2", "set", "sshd", "maxretry", 2.9)
	check("8", "set", "sshd", "maxretry", " 8 ")
	check("ValueError('invalid literal for int() with base 10: 1e+300')", "set", "sshd", "maxretry", 1e300)
	check("'2'", "set", "sshd", "bantime.factor", int64(2))
	check("True", "set", "sshd", "ignoreself", true)
	check("''", "set", "sshd", "ignorecommand", nil)

	check("'act'", "set", "sshd", "addaction", "act")
	check("True", "multi-set", "sshd", "action", "act", list(list("actionban", "cmd"), list("timeout", int64(5)), list("flush")))
	check("'cmd'", "get", "sshd", "action", "act", "actionban")
	check("5", "get", "sshd", "action", "act", "timeout")
	check("['ban', '{\"a\": 1}']", "set", "sshd", "action", "act", "ban", `{"a": 1}`)
	check("ValueError(\"no JSON object: 'x'\")", "set", "sshd", "action", "act", "ban", "x")
	check("ValueError(\"no list: 'x'\")", "multi-set", "sshd", "action", "act", list("x"))
	check("AttributeError(\"'CommandAction' object has no attribute 'x'\")", "get", "sshd", "action", "act", "x")
	check("IndexError('list index out of range')", "set", "sshd", "addaction", "py", "file.py")
	check("'py'", "set", "sshd", "addaction", "py", "file.py", "{}")

	check("None", "set", "thread", Dict{{"stacksize", int64(64)}})
	check("{'stacksize': 64}", "get", "thread")
	check("ValueError('no thread options: 1')", "set", "thread", int64(1))
	check("['x', 1, None]", "echo", "x", int64(1), nil)
	check("ValueError(\"could not convert string to float: '-1'\")", "sleep", "-1")
	check("ValueError('arguments of v are no JSON')", "f2bpipe", "v", "{")
	check("IndexError('list index out of range')", "f2bpipe")
	check("IndexError('list index out of range')")
	check("[('Filter', [('Currently failed', 1), ('Total failed', 11), ('File list', ['/var/log/auth.log', '/b.log'])]), "+
		"('Actions', [('Currently banned', 2), ('Total banned', 2), ('Banned IP list', ['192.0.2.10', '192.0.2.11']), "+
		"('Banned ASN list', ['error']), ('Banned Country list', ['error']), ('Banned RIR list', ['error'])])]", "status", "sshd", "cymru")
	check("None", "config-error", "in jail x")
	if len(f.errors) != 1 || f.errors[0] != "in jail x" {
		t.Errorf("errors %q", f.errors)
	}
}
