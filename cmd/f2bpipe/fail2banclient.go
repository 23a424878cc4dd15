package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/control"
	"github.com/f2bpipe/f2bpipe/internal/service"
)

// theirs is fail2ban-client or fail2ban-server with its command line read.
type theirs struct {
	*theirOptions
	stdio
	name string
}

// fail2banProgram carries out a command line of fail2ban-client or
// fail2ban-server and returns the exit status: 0, or 255.
func fail2banProgram(args []string, std stdio) int {
	name := filepath.Base(args[0])
	out := bufio.NewWriter(std.out)
	defer out.Flush()
	o, err := parseTheirs(name, args[1:], out)
	switch {
	case errors.Is(err, errShown):
		return exitDone
	case errors.Is(err, errUsage):
		theirUsage(name, out)
		return exitTheirs
	case err != nil:
		fmt.Fprintf(out, "ERROR: %v\n", err)
		return exitTheirs
	}
	if o.socket == "" {
		o.socket = o.main.Socket.Text
	}
	if o.pidFile == "" {
		o.pidFile = o.main.PidFile.Text
	}
	t := &theirs{theirOptions: o, stdio: std, name: name}
	t.out = out
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if t.run(ctx, out) {
		return exitDone
	}
	return exitTheirs
}

// fail logs an error and returns false.
func (t *theirs) fail(format string, args ...any) bool {
	theirLog(t.err, "ERROR", fmt.Sprintf(format, args...))
	return false
}

// run carries out what the options and the command ask for.
func (t *theirs) run(ctx context.Context, out *bufio.Writer) bool {
	if t.dump {
		if done := t.dumpConfig(); !done || !t.test {
			return done
		}
	}
	if t.test {
		if !t.testConfig() {
			return t.fail("ERROR: test configuration failed")
		}
		if len(t.args) == 0 {
			fmt.Fprintln(t.out, "OK: configuration test is successful")
			return true
		}
	}
	server := strings.HasSuffix(t.name, "server")
	switch {
	case t.interactive:
		return t.converse(ctx, out)
	case server && (len(t.args) == 0 || len(t.args) == 1 && t.args[0] == "start"):
		return t.start(ctx, out)
	case len(t.args) == 0:
		theirUsage(t.name, t.out)
		return false
	}
	return t.command(ctx, out, t.args)
}

// command carries out one command of the client.
func (t *theirs) command(ctx context.Context, out *bufio.Writer, words []string) bool {
	switch {
	case words[0] == "help" && len(words) == 1:
		theirUsage(t.name, t.out)
		return true
	case words[0] == "start" && len(words) == 1:
		return t.start(ctx, out)
	case words[0] == "restart" && len(words) == 1:
		return t.restart(ctx, out)
	case words[0] == "restart":
		return t.reload(ctx, append([]string{"reload", "--restart"}, words[1:]...))
	case words[0] == "reload":
		return t.reload(ctx, words)
	case words[0] == "set" && len(words) > 3 && words[2] == "banip":
		return t.ban(ctx, words)
	case words[0] == "ping" && len(words) > 1:
		seconds, err := strconv.ParseFloat(words[1], 64)
		if err != nil {
			return t.fail("could not convert string to float: %s", control.Repr(words[1]))
		}
		short, cancel := context.WithTimeout(ctx, time.Duration(seconds*float64(time.Second)))
		defer cancel()
		return t.send(short, words)
	}
	return t.send(ctx, words)
}

// send carries out one command by the server and prints what came of it.
func (t *theirs) send(ctx context.Context, words []string) bool {
	v, err := t.call(ctx, toAny(words)...)
	return t.show(words, v, err)
}

// call is one command on a connection of its own.
func (t *theirs) call(ctx context.Context, words ...any) (any, error) {
	client, err := control.Dial(ctx, t.socket)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return client.Call(ctx, words)
}

func toAny(words []string) []any {
	out := make([]any, len(words))
	for i, w := range words {
		out[i] = w
	}
	return out
}

// show prints a reply as fail2ban-client does.
func (t *theirs) show(words []string, v any, err error) bool {
	var exception *control.Exception
	var down *control.SocketError
	switch {
	case errors.As(err, &exception):
		t.fail("%s", control.ErrorLine(exception))
		fmt.Fprintln(t.out, control.BeautifyError(exception))
		return false
	case errors.As(err, &down):
		return t.fail("%s", down.ClientText(words[0] == "ping"))
	case err != nil:
		return t.fail("%v", err)
	}
	text, err := control.Beautifier{ASCII: !utf8Output()}.Beautify(words, v)
	if err != nil {
		t.fail("%v", err)
	}
	fmt.Fprintln(t.out, text)
	return true
}

// utf8Output says whether the locale writes UTF-8; without a word of it, it does.
func utf8Output() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if _, charset, ok := strings.Cut(os.Getenv(name), "."); ok {
			charset, _, _ = strings.Cut(strings.ToLower(charset), "@")
			return charset == "utf-8" || charset == "utf8"
		}
	}
	return true
}

// ban bans by a command of our own, which says who was refused and why: the
// number stands on stdout alone, for scripts that reckon with it.
func (t *theirs) ban(ctx context.Context, words []string) bool {
	var done service.Done
	err := t.native(ctx, service.VerbBan, service.BanArgs{Jail: words[1], IDs: words[3:], Force: true}, &done)
	if errors.Is(err, errForeign) {
		return t.send(ctx, words)
	}
	if err != nil {
		return t.show(words, nil, err)
	}
	for _, r := range done.Refused {
		t.fail("%s: %s", r.ID, r.Problem)
	}
	fmt.Fprintln(t.out, done.Changed)
	return true
}

// errForeign says that the server is none of ours: fail2ban's own, for one.
var errForeign = errors.New("the server does not know our commands")

// native carries out one of our own commands. An error is errForeign where the
// server has none of them.
func (t *theirs) native(ctx context.Context, verb string, args, result any) error {
	client, err := control.Dial(ctx, t.socket)
	if err != nil {
		return err
	}
	defer client.Close()
	err = client.CallJSON(ctx, verb, args, result)
	var exception *control.Exception
	if errors.As(err, &exception) && exception.Error() == "Invalid command" {
		return errForeign
	}
	return err
}

// alive says whether a server answers.
func (t *theirs) alive(ctx context.Context) bool {
	_, err := t.call(ctx, "ping")
	return err == nil
}

// socketLeft says whether a file stands where the socket should be.
func (t *theirs) socketLeft() bool {
	_, err := os.Lstat(t.socket)
	return !errors.Is(err, fs.ErrNotExist)
}
