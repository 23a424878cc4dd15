package service

import (
	"context"
	"runtime/debug"
	"time"
)

// settleTime is how long after a start or a reload the jails have come to rest.
const settleTime = time.Second

// giveBack returns to the system what starting and reloading took, which is
// three times what the jails keep: an idle service allocates so little that it
// would never collect by itself.
func (s *Service) giveBack(ctx context.Context) {
	for {
		select {
		case <-time.After(settleTime):
			debug.FreeOSMemory()
			dropText()
		case <-ctx.Done():
			return
		}
		select {
		case <-s.grown:
		case <-ctx.Done():
			return
		}
	}
}
