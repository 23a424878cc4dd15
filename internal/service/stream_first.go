package service

import (
	"context"
	"errors"
	"sync"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/control"
)

// A server that fail2ban's own client starts has no configuration: the client
// finds it by a ping and sends everything in one stream. What the stream says
// of the server (where its database is) must be known before the stages are
// opened, and its jails can be made only after that.

// opening answers on the control socket before the service runs.
type opening struct {
	s     *Service
	once  sync.Once
	began chan struct{} // closed when the stream has come
	ready chan struct{} // closed when the service runs
}

func newOpening(s *Service) *opening {
	return &opening{s: s, began: make(chan struct{}), ready: make(chan struct{})}
}

// wait returns when the stream has come, or ctx is done: then nobody has
// configured the service, and it ends.
func (o *opening) wait(ctx context.Context) error {
	select {
	case <-o.began:
		return nil
	case <-ctx.Done():
		return errNoStream
	}
}

// errNoStream ends a service that was told to wait for its configuration.
var errNoStream = errors.New("ended before a client has sent a configuration")

// Handle implements control.Handler.
func (o *opening) Handle(ctx context.Context, cmd []any) (any, error) {
	d := o.s.dispatcher()
	select {
	case <-o.ready:
		return d.Handle(ctx, cmd)
	default:
	}
	if len(cmd) > 0 {
		switch cmd[0] {
		case "ping", "echo", "version":
			return d.Handle(ctx, cmd)
		case "stop":
			if len(cmd) == 1 {
				o.s.stopped.Store(true)
				o.s.stop()
				return nil, nil
			}
		case "server-stream":
			o.once.Do(func() {
				o.s.firstOptions(cmd)
				close(o.began)
			})
		}
	}
	return o.late(ctx, d, cmd)
}

// late carries out a command once the service runs.
func (o *opening) late(ctx context.Context, h control.Handler, cmd []any) (any, error) {
	select {
	case <-o.ready:
		return h.Handle(ctx, cmd)
	case <-o.s.down:
		return nil, control.ErrorPlain("the server is shutting down")
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// lateHandler carries out commands once the service runs.
type lateHandler struct {
	o *opening
	h control.Handler
}

// Handle implements control.Handler.
func (l lateHandler) Handle(ctx context.Context, cmd []any) (any, error) {
	return l.o.late(ctx, l.h, cmd)
}

// firstOptions takes those options of the server from a stream that must be
// known first. What is wrong with it is said when it is carried out.
func (s *Service) firstOptions(cmd []any) {
	if len(cmd) < 2 {
		return
	}
	list, _ := cmd[1].([]any)
	for _, one := range list {
		words, _ := one.([]any)
		if len(words) != 3 || words[0] != "set" || words[1] != "dbfile" {
			continue
		}
		if file, ok := words[2].(string); ok {
			s.keepIn(config.Value{Text: file, File: byCommand})
		}
	}
}
