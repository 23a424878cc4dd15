package logtarget

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
)

// handler is a slog.Handler that writes to a Log: the message, then its facts
// as key=value, quoted where they need it.
type handler struct {
	log   *Log
	name  string
	attrs string // written already
	group string
}

// Handler returns a handler whose lines are those of a logger, such as
// "fail2ban.server".
func (l *Log) Handler(logger string) slog.Handler { return &handler{log: l, name: logger} }

// Enabled implements slog.Handler.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return h.log.Enabled(fromSlog(level))
}

// Handle implements slog.Handler.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(Text(r.Message))
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		appendAttr(&b, h.group, a)
		return true
	})
	h.log.Print(fromSlog(r.Level), h.name, false, b.String())
	return nil
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := *h
	var b strings.Builder
	for _, a := range attrs {
		appendAttr(&b, h.group, a)
	}
	out.attrs += b.String()
	return &out
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	out := *h
	if name != "" {
		out.group += name + "."
	}
	return &out
}

func appendAttr(b *strings.Builder, group string, a slog.Attr) {
	v := a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return
	}
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, inner := range v.Group() {
			appendAttr(b, group, inner)
		}
		return
	}
	text := v.String()
	if v.Kind() == slog.KindAny {
		text = fmt.Sprint(v.Any())
	}
	b.WriteByte(' ')
	b.WriteString(Text(group + a.Key))
	b.WriteByte('=')
	b.WriteString(quote(text))
}

// quote quotes a value that is more than one plain word.
func quote(s string) string {
	if s != "" && !strings.ContainsAny(s, " \"=[]\\") && Text(s) == s {
		return s
	}
	return strconv.Quote(s)
}
