package main

import (
	"context"
	"fmt"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/control"
	"github.com/f2bpipe/f2bpipe/internal/service"
)

// dumpConfig prints the commands that make the configuration. False says that
// there is none to print, or that of all jails only those with mistakes are enabled.
func (t *theirs) dumpConfig() bool {
	tree, problems := config.Load(t.options())
	if err := problems.Jail("").Err(); err != nil {
		t.fail("%v", err)
		fmt.Fprintln(t.out, "ERROR: The configuration stream failed because of the invalid syntax.")
		return false
	}
	for _, command := range tree.Dump() {
		text := config.Repr(command)
		if t.pretty {
			text = pretty([]any(command))
		}
		fmt.Fprintln(t.out, text)
	}
	good, bad := false, false
	for i := range tree.Jails {
		j := &tree.Jails[i]
		if err := j.Err(); err != nil {
			bad = true
			t.fail("%v", err)
		} else if j.Enabled {
			good = true
		}
	}
	return good || !bad
}

// testConfig reads and compiles everything and logs what is wrong.
func (t *theirs) testConfig() bool {
	found := service.Check(t.options(), "")
	for _, p := range found.Problems {
		switch {
		case p.Severity == config.Error:
			t.fail("%s", p.Error())
		case t.verbose > 0:
			theirLog(t.err, "WARNING", p.Error())
		}
	}
	return found.Errors == 0
}

// readable says whether the configuration can be read at all; what is wrong
// with single jails is the server's to say.
func (t *theirs) readable() (*config.Config, bool) {
	tree, problems := config.Load(t.options())
	if err := problems.Jail("").Err(); err != nil {
		return nil, t.fail("Failed during configuration: %v", err)
	}
	return tree, true
}

// reload lets our server read its configuration again; any other is sent what
// we have read.
func (t *theirs) reload(ctx context.Context, words []string) bool {
	args := service.ReloadArgs{}
	var options []any
	words = words[1:]
	for ; len(words) > 0; words = words[1:] {
		switch words[0] {
		case "--restart":
			args.Restart = true
		case "--unban":
			args.Unban = true
		case "--if-exists":
			args.IfExists = true
		default:
			if len(words) > 1 {
				return t.fail("Unexpected argument(s) for reload: %s", control.Repr(words))
			}
			if words[0] != "--all" {
				args.Jail = words[0]
			}
			continue
		}
		options = append(options, words[0])
	}
	if !t.alive(ctx) {
		return t.fail("Could not find server")
	}
	if same, err := t.ownConfig(ctx); err == nil && same {
		err = t.native(ctx, service.VerbReload, args, nil)
		return t.show([]string{"reload"}, "OK", err)
	}
	tree, ok := t.readable()
	if !ok {
		return false
	}
	jail := args.Jail
	if jail == "" {
		jail = "--all"
	}
	v, err := t.call(ctx, "reload", jail, append([]any{}, options...), plainList(commandsOf(tree, args.Jail)))
	return t.show([]string{"reload"}, v, err)
}

// ownConfig says whether the server is ours and reads the directory that we
// would.
func (t *theirs) ownConfig(ctx context.Context) (bool, error) {
	var st service.Status
	if err := t.native(ctx, service.VerbStatus, service.StatusArgs{}, &st); err != nil {
		return false, err
	}
	return t.config == "" || st.Config.Dir == t.options().Dir, nil
}

// commandsOf returns the commands that make one jail, or all and the server.
func commandsOf(tree *config.Config, jail string) []config.Command {
	if jail == "" {
		return tree.Dump()
	}
	j := tree.Jail(jail)
	if j == nil {
		return nil
	}
	out := j.Commands()
	if j.Enabled && j.Err() == nil {
		out = append(out, config.Command{"start", jail})
	}
	return out
}

// plainList turns commands into values that the protocol carries.
func plainList(commands []config.Command) []any {
	out := make([]any, len(commands))
	for i, c := range commands {
		out[i] = plainValue([]any(c))
	}
	return out
}

func plainValue(v any) any {
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = plainValue(v[i])
		}
		return list
	case map[string]any:
		dict := control.Dict{}
		for key, value := range v {
			dict = append(dict, control.Pair{Key: key, Value: plainValue(value)})
		}
		return dict
	}
	return v
}
