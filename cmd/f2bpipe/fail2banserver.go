package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/internal/service"
)

// serve is the server in the foreground: it returns when it has ended.
func (t *theirs) serve(ctx context.Context, out *bufio.Writer) bool {
	unix.Umask(0o077)
	flag := ""
	if t.async {
		flag = "no" // what the service may need only the client's stream says
	}
	box, err := confined(t.options(), flag, false)
	if err == nil {
		err = t.runServer(ctx, out, box)
	}
	_ = out.Flush() // nobody may listen
	err = again(err, box)
	if err != nil {
		t.fail("%v", err)
		return t.fail("Could not start %s", serverName)
	}
	return true
}

func (t *theirs) runServer(ctx context.Context, out *bufio.Writer, box *confinement) error {
	options := t.options()
	flags := logFlags{LogTarget: "config"}
	log, err := flags.open(options, &streams{stdio: stdio{t.in, os.Stdout, os.Stderr}, buffered: out}, box)
	if err != nil {
		return err
	}
	defer log.Close()
	cfg := service.Config{
		Options: options, Socket: t.socket, PidFile: t.pidFile, Version: theirVersion, Fail2ban: true,
		Log: slog.New(log.Handler("fail2ban.server")), Out: log, Await: t.async,
		Ready: func() {
			if !t.async {
				fmt.Fprintln(t.out, "Server ready")
			}
			_ = out.Flush() // nobody may listen
			letGo()
		},
	}
	// A client may stream actions that no file has.
	if r := spawnRunner(nil, cfg.Log); r != nil {
		defer r.Close()
		cfg.Runner = r
	}
	box.over(&cfg)
	s, err := service.New(cfg)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

// letGo tells who has put the server into the background that it is ready, and
// lets go of what was theirs: stdin, stdout and stderr are nothing from here on.
func letGo() {
	if os.Getenv(daemonEnv) == "" {
		return
	}
	_, _ = os.Stderr.Write([]byte{readyMark})
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return // the pipe stays open; its reader has a time limit
	}
	for fd := range 3 {
		_ = unix.Dup3(int(null.Fd()), fd, 0)
	}
	_ = null.Close()
}
