package pipeline

import (
	"runtime"
	"sync"
)

// scanners run the stateless half of matchers on several goroutines. The
// goroutine that drains a feed gives them batches and settles what they
// found, in order.
type scanners struct {
	jobs    chan *scan
	workers sync.WaitGroup

	standing []*scan // not settled, in order
	room     int     // for so many
}

// scan is a batch that is being scanned.
type scan struct {
	batch    *Batch
	splitter Splitter
	found    Found
	done     chan struct{} // closed when found is there
}

// newScanners starts n goroutines. One would only be in the way of whoever
// drains: then there are none, and nothing is added.
func newScanners(n, batches int) *scanners {
	s := &scanners{room: batches}
	if n <= 1 {
		return s
	}
	s.jobs = make(chan *scan, batches) // room for every batch there is: a send never blocks
	for worker := range n {
		s.workers.Go(func() {
			for j := range s.jobs {
				j.found = j.splitter.Scan(worker, j.batch)
				close(j.done)
				runtime.Gosched() // whoever settles has waited for it
			}
		})
	}
	return s
}

// close ends the goroutines, after the scans that stand.
func (s *scanners) close() {
	if s.jobs != nil {
		close(s.jobs)
		s.workers.Wait()
	}
}

// beside says whether batches are scanned beside others.
func (s *scanners) beside() bool { return s.jobs != nil }

// add scans a bulk batch beside others.
func (s *scanners) add(b *Batch, m Splitter) {
	j := &scan{batch: b, splitter: m, done: make(chan struct{})}
	s.standing = append(s.standing, j)
	s.jobs <- j
}

// oldest takes the scan that is to be settled next, when it is done.
func (s *scanners) oldest() *scan {
	j := s.standing[0]
	s.standing = append(s.standing[:0], s.standing[1:]...)
	<-j.done
	return j
}

// drain takes a feed's batches through the stages until the feed is closed;
// after a hard stop it counts the lines of those that stand, and returns.
func (p *Pipeline) drain(feed *Feed, workers int) {
	s := newStep(p)
	scanning := newScanners(workers, cap(feed.full))
	defer scanning.close()
	settle := func() {
		j := scanning.oldest()
		p.carry(s, feed, j.batch, func(dst []Failure) []Failure { return j.splitter.Settle(dst, j.batch, j.found) })
	}
	for {
		full, oldest := feed.Full(), (chan struct{})(nil)
		if n := len(scanning.standing); n > 0 {
			oldest = scanning.standing[0].done
			if n >= scanning.room {
				full = nil
			}
		}
		select {
		case b, ok := <-full:
			if !ok {
				for len(scanning.standing) > 0 {
					settle()
				}
				return
			}
			p.split(s, feed, scanning, b, settle)
		case <-oldest:
			settle()
		case <-p.hard.Done():
			for len(scanning.standing) > 0 {
				settle()
			}
			p.loseRest(feed)
			return
		}
	}
}

// split begins with a batch: a bulk one is scanned beside others where there is
// who does, any other goes its way when those before it have.
func (p *Pipeline) split(s *step, feed *Feed, scanning *scanners, b *Batch, settle func()) {
	m := b.Input.Matcher()
	splitter, ok := m.(Splitter)
	if !ok || !splitter.Bulk(b) || p.hard.Err() != nil {
		for len(scanning.standing) > 0 {
			settle()
		}
		p.carry(s, feed, b, func(dst []Failure) []Failure { return m.Match(dst, b) })
		return
	}
	for !splitter.Prepare(b, len(scanning.standing) == 0) {
		for len(scanning.standing) > 0 {
			settle()
		}
	}
	if scanning.beside() {
		scanning.add(b, splitter)
	} else {
		p.carry(s, feed, b, func(dst []Failure) []Failure { return splitter.MatchBulk(dst, b) })
	}
}

// carry takes a batch, matched by match, through the other stages and recycles it.
func (p *Pipeline) carry(s *step, feed *Feed, b *Batch, match func([]Failure) []Failure) {
	if p.hard.Err() != nil {
		p.lostLines.Add(int64(b.Lines))
	} else {
		s.do(b, match)
	}
	feed.Recycle(b)
}

// loseRest counts the lines of the batches that stand after a hard stop.
func (p *Pipeline) loseRest(feed *Feed) {
	for {
		select {
		case b, ok := <-feed.Full():
			if !ok {
				return
			}
			p.lostLines.Add(int64(b.Lines))
		default:
			return
		}
	}
}
