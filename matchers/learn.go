package matchers

import (
	"slices"

	"github.com/f2bpipe/f2bpipe/matchers/dates"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// What scouts know of the order of date templates is as old as a number of
// batches says, so that what they find does not depend on how many there are:
// for the batches of learnsAt it becomes what was known lag batches before, so
// that they need not wait for all that are under way.
const lag = 16

// learnsAt says whether the n'th batch, from 1, is scanned with newer orders.
func learnsAt(n int) bool { return n == lag+4 || n == 64 || n%256 == 0 }

// orders are those of date templates, by view.
type orders []*dates.Order

// learning is what scouts know for which batch.
type learning struct {
	prepared int        // batches
	settled  int        // of them
	orders   orders     // for those that come
	later    orders     // for the next of learnsAt
	before   orders     // memory: those that no batch is scanned with by then
	standing []prepared // not scanned
}

// prepared is a batch and what it is to be scanned with.
type prepared struct {
	batch  *pipeline.Batch
	orders orders
}

// know makes what the set knows now of orders in memory that may be used again.
func (s *Set) know(o orders) orders {
	for i, v := range s.views {
		if i == len(o) {
			o = append(o, new(dates.Order))
		}
		o[i].Set(v.order)
	}
	return o
}

// Prepare implements pipeline.Splitter.
func (s *Set) Prepare(b *pipeline.Batch, settled bool) bool {
	s.bulk.mu.Lock()
	defer s.bulk.mu.Unlock()
	l := &s.bulk.learning
	n := l.prepared + 1
	switch ready := s.prefilter.ready(); {
	case !ready || n == 1:
		if !settled {
			return false
		}
		s.prefilter.train(b.Data)
		for _, scout := range s.bulk.scouts {
			scout.follow(s)
		}
		l.orders = s.know(l.orders)
		if l.before == nil {
			l.before = s.know(nil)
		}
	case learnsAt(n):
		if l.settled < n-lag && !settled {
			return false
		}
		if l.later != nil { // batches may have been lost
			l.before, l.orders, l.later = l.orders, l.later, nil
		}
	}
	l.prepared, l.standing = n, append(l.standing, prepared{b, l.orders})
	return true
}

// follow makes a scout look for what its set looks for.
func (s *Set) follow(of *Set) {
	s.prefilter.scanner, s.prefilter.trained = of.prefilter.scanner, len(trainAt)
}

// learn notes that a batch was settled.
func (s *Set) learn() {
	s.bulk.mu.Lock()
	defer s.bulk.mu.Unlock()
	l := &s.bulk.learning
	if l.settled++; learnsAt(l.settled + lag) {
		l.later, l.before = s.know(l.before), nil
	}
}

// scout returns the scout of a worker, which knows what it is to know for a batch.
func (s *Set) scout(worker int, b *pipeline.Batch) *Set {
	s.bulk.mu.Lock()
	defer s.bulk.mu.Unlock()
	for len(s.bulk.scouts) <= worker {
		s.bulk.scouts = append(s.bulk.scouts, s.newScout())
	}
	scout := s.bulk.scouts[worker]
	at := slices.IndexFunc(s.bulk.standing, func(p prepared) bool { return p.batch == b })
	for i, o := range s.bulk.standing[at].orders {
		scout.views[i].order = o
	}
	s.bulk.standing = slices.Delete(s.bulk.standing, at, at+1)
	return scout
}

func (s *Set) newScout() *Set {
	scout := &Set{opts: s.opts, prefilter: prefilter{rules: s.prefilter.rules}}
	scout.w.gaveUp = s.w.gaveUp
	for _, v := range s.views {
		scout.views = append(scout.views, &view{detector: v.detector, decoder: v.decoder, scouting: true})
	}
	for _, m := range s.jails {
		c := *m
		c.view = scout.views[slices.Index(s.views, m.view)]
		scout.jails = append(scout.jails, &c)
		for range c.Filter.fail {
			scout.owners = append(scout.owners, &c)
		}
	}
	scout.follow(s)
	return scout
}
