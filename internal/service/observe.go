package service

import (
	"context"
	"log/slog"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// logObserver logs what happens to bans.
type logObserver struct{ log *slog.Logger }

// Observe implements pipeline.Observer.
func (o logObserver) Observe(e pipeline.Event) {
	level, msg := slog.LevelInfo, ""
	switch e.Kind {
	case pipeline.EventBan:
		msg = "ban"
		if e.Ban.Restored {
			msg = "restore ban"
		}
	case pipeline.EventProlong:
		msg = "prolong ban"
	case pipeline.EventUnban:
		msg = "unban"
	case pipeline.EventAlready:
		msg = "already banned"
	case pipeline.EventTooLate:
		msg = "not banned: the ban would be over"
	case pipeline.EventFull:
		level, msg = slog.LevelError, "not banned: too many bans"
	case pipeline.EventRefused:
		level, msg = slog.LevelError, "ban is not enforced"
	case pipeline.EventEnforced:
		msg = "ban is enforced now"
	}
	attrs := []slog.Attr{slog.String("jail", e.Ban.Jail.Name), slog.String("id", e.Ban.ID.String())}
	if e.Ban.Failures > 0 {
		attrs = append(attrs, slog.Int("failures", e.Ban.Failures))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.Any("problem", e.Err))
	}
	o.log.LogAttrs(context.Background(), level, msg, attrs...)
}

// foundLog logs the failures that are found.
type foundLog struct{ log *slog.Logger }

// Watch implements pipeline.Watcher.
func (w foundLog) Watch(_ *pipeline.Batch, failures []pipeline.Failure) {
	for i := range failures {
		f := &failures[i]
		w.log.LogAttrs(context.Background(), slog.LevelInfo, "found", slog.String("jail", f.Jail.Name),
			slog.String("id", f.ID.String()), slog.Time("time", time.Unix(0, f.AtNanos)))
	}
}
