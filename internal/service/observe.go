package service

import (
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// watcher sees the failures that count, before they are counted.
type watcher struct{ lines banLog }

// Watch implements pipeline.Watcher.
func (w watcher) Watch(_ *pipeline.Batch, failures []pipeline.Failure) { w.lines.found(failures) }

// observer sees what happens to bans. It is called with the ledger locked.
type observer struct{ lines banLog }

// Observe implements pipeline.Observer.
func (o observer) Observe(e pipeline.Event) { o.lines.Observe(e) }
