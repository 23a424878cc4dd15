package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/control"
	"github.com/f2bpipe/f2bpipe/internal/service"
)

// start runs a server, in the foreground until it ends or in the background
// until it answers.
func (t *theirs) start(ctx context.Context, out *bufio.Writer) bool {
	server := t.name == serverName
	refused := func() bool {
		if server {
			t.fail("Async configuration of server failed")
		}
		return false
	}
	if t.alive(ctx) {
		t.fail("Server already running")
		return refused()
	}
	if _, ok := t.readable(); !ok {
		return refused()
	}
	if !t.force && t.socketLeft() {
		t.fail("Fail2ban seems to be in unexpected state (not running but the socket exists)")
		return refused()
	}
	if t.foreground {
		return t.serve(ctx, out)
	}
	return t.daemonize()
}

// serverName is the name of the server's program.
const serverName = "fail2ban-server"

// daemonEnv tells a server that it was put into the background: what it has to
// say until it is ready is read from its stderr, and readyMark is the last.
const (
	daemonEnv = "F2BPIPE_BACKGROUND"
	readyMark = 0
)

// daemonize starts a server of its own session and returns when it is ready,
// or has ended.
func (t *theirs) daemonize() bool {
	if t.async {
		return t.spawn("--async") && t.ready("")
	}
	return t.spawn() && t.ready("Server ready")
}

func (t *theirs) ready(text string) bool {
	if text != "" {
		fmt.Fprintln(t.out, text)
	}
	return true
}

// spawn starts the server and passes on what it says until it is ready.
func (t *theirs) spawn(extra ...string) bool {
	path, name, err := serverProgram()
	if err != nil {
		return t.fail("Exception while starting server background: %v", err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return t.fail("%v", err)
	}
	cmd := exec.Command(path)
	cmd.Args = append(append([]string{name}, extra...), t.serverArgs()...)
	cmd.Env = append(os.Environ(), daemonEnv+"=1")
	cmd.Dir, cmd.Stderr = "/", write
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = write.Close() // the server's own is open
	if err != nil {
		_ = read.Close()
		return t.fail("Exception while starting server background: %v", err)
	}
	late := time.AfterFunc(t.timeout, func() { _ = read.SetReadDeadline(time.Unix(1, 0)) })
	defer late.Stop()
	said, err := io.ReadAll(read)
	_ = read.Close()
	text, ready := bytes.CutSuffix(said, []byte{readyMark})
	_, _ = t.err.Write(text)
	switch {
	case ready:
		_ = cmd.Process.Release()
		return true
	case errors.Is(err, os.ErrDeadlineExceeded):
		return t.fail("Could not find server, waiting failed")
	}
	_ = cmd.Wait() // it has said why
	return false
}

// serverProgram returns what to run as the server: this program, by the
// server's name where it has one beside the client's.
func serverProgram() (path, name string, err error) {
	own, err := os.Executable()
	if err != nil {
		return "", "", err
	}
	self, err := exec.LookPath(os.Args[0])
	if err != nil {
		return own, serverName, nil
	}
	beside, err := filepath.Abs(filepath.Join(filepath.Dir(self), serverName))
	if err != nil {
		return own, serverName, nil
	}
	a, errA := os.Stat(beside)
	b, errB := os.Stat(own)
	if errA != nil || errB != nil || !os.SameFile(a, b) {
		return own, serverName, nil // fail2ban's own server may stand there
	}
	return beside, beside, nil
}

// serverArgs are the options of the server that is started.
func (t *theirs) serverArgs() []string {
	args := []string{"-c", t.options().Dir, "-s", absolute(t.socket), "-p", absolute(t.pidFile)}
	for _, o := range []struct{ name, value string }{
		{"--loglevel", t.logLevel}, {"--logtarget", absoluteTarget(t.logTarget)}, {"--syslogsocket", t.syslogPlace},
	} {
		if o.value != "" {
			args = append(args, o.name, o.value)
		}
	}
	return append(args, "-xf", "start")
}

// absolute makes a path hold in another folder too.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil && path != "" {
		return abs
	}
	return path
}

// absoluteTarget makes a logtarget that is a file hold in another folder too.
func absoluteTarget(target string) string {
	path, options, _ := strings.Cut(target, "[")
	switch strings.ToUpper(strings.TrimSpace(path)) {
	case "", "STDOUT", "STDERR", "SYSLOG", "SYSOUT", "SYSTEMD-JOURNAL":
		return target
	}
	if options != "" {
		options = "[" + options
	}
	return absolute(strings.TrimSpace(path)) + options
}

// restart lets a server of ours begin anew in its own process, so that who
// watches over it keeps it; any other is stopped, and one of ours is started.
func (t *theirs) restart(ctx context.Context, out *bufio.Writer) bool {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	same, err := t.ownConfig(ctx)
	if err != nil || !same {
		t.send(ctx, []string{"stop"})
		if !t.waitFor(ctx, false) {
			return t.fail("Could not stop server")
		}
		return t.start(ctx, out)
	}
	if _, ok := t.readable(); !ok {
		return false
	}
	client, err := control.Dial(ctx, t.socket)
	if err != nil {
		return t.show([]string{"stop"}, nil, err)
	}
	defer client.Close()
	if err := client.CallJSON(ctx, service.VerbRestart, nil, nil); err != nil {
		return t.show([]string{"stop"}, nil, err)
	}
	if !t.show([]string{"stop"}, nil, nil) {
		return false
	}
	// The server before hangs up when it has closed its sockets. Until then it
	// may still answer one that comes just now.
	for err == nil {
		_, err = client.Call(ctx, []any{"ping"})
	}
	if ctx.Err() != nil {
		return t.fail("Could not stop server")
	}
	if !t.waitFor(ctx, true) {
		return t.fail("Could not find server, waiting failed")
	}
	return t.ready("Server ready")
}

// waitFor waits until a server answers, or does not any more.
func (t *theirs) waitFor(ctx context.Context, alive bool) bool {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		if t.alive(ctx) == alive {
			return true
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return false
		}
	}
}
