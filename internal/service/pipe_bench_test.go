package service

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/stock"
	"github.com/f2bpipe/f2bpipe/sinks"
)

// sixFilters are the filters that f2bpipe is measured by.
var sixFilters = []string{"sshd[mode=aggressive]", "postfix[mode=extra]", "dovecot", "nginx-http-auth", "nginx-botsearch", "recidive"}

// BenchmarkPipeStart is what a pipe costs before its first line: it reads the
// configuration and compiles what it is asked for.
//
//	go test -run '^$' -bench PipeStart ./internal/service
func BenchmarkPipeStart(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		p := Pipe{
			Config: Config{
				Options: config.Options{Dir: benchDir(b), Stock: stock.FS(), Superseded: stock.Superseded},
				DryRun:  &sinks.DryRun{W: io.Discard}, Log: slog.New(slog.DiscardHandler),
			},
			Names: sixFilters, In: bytes.NewReader(nil), Workers: 1,
		}
		if _, err := p.Run(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// benchDir is fail2ban's configuration where it is installed; else there is
// the embedded one alone.
func benchDir(b *testing.B) string {
	const installed = "/etc/fail2ban"
	if _, err := os.Stat(installed + "/jail.conf"); err == nil {
		return installed
	}
	return b.TempDir()
}
