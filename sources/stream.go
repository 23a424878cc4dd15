package sources

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// maxSegments bounds the files that one name keeps open.
const maxSegments = 64

// stream is one followed name.
type stream struct {
	path  string
	in    *pipeline.Input
	start Start

	segs   []*segment // oldest first; the last is what the name leads to, or led to last
	past   []pastFile // closed not long ago
	begun  bool       // start was carried out
	live   bool       // the end was reached once
	check  bool       // the name may lead to another file
	queued bool
	gone   bool   // dropped
	fault  string // the last error that was logged
	lates  []*late

	mark     string   // of the last batch's position, for as long as it holds
	markOf   *segment // that it names, and
	markHead int      // the length of the head that it was made of
}

// pastFile is a file that was read and closed, should its name come back.
type pastFile struct {
	id  fileID
	seg segment // without its descriptor
}

// last returns the segment that the name leads to, or nil.
func (s *stream) last() *segment {
	if len(s.segs) == 0 {
		return nil
	}
	return s.segs[len(s.segs)-1]
}

// take begins to follow a name, if there is a file.
func (r *follower) take(path string) {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return
	}
	in, start, ok := r.Open(path, !r.running)
	if !ok {
		return
	}
	s := &stream{path: path, in: in, start: start}
	r.streams[path] = s
	if r.running {
		s.begun = r.handOver(s, idOf(&st))
	}
	s.check = true
	r.enqueue(s)
}

// handOver gives a name the open file that another name has lost to it: with a
// pattern like mail.log* the rotated file is found under its new name, and what
// was read of it is not read again.
func (r *follower) handOver(to *stream, id fileID) bool {
	for _, s := range r.streams {
		i := slices.IndexFunc(s.segs, func(g *segment) bool { return g.id == id })
		if s == to || i < 0 || leadsTo(s.path, id) {
			continue
		}
		g := s.segs[i]
		r.unwatch(s, g)
		s.moved(g)
		s.segs = slices.Delete(s.segs, i, i+1)
		s.mark, s.check = "", true
		r.enqueue(s)
		to.live, g.expired = to.live || s.live, false
		r.append(to, g)
		return true
	}
	return false
}

func leadsTo(path string, id fileID) bool {
	var st unix.Stat_t
	return unix.Stat(path, &st) == nil && idOf(&st) == id
}

// drop ends the following of a name.
func (r *follower) drop(s *stream) {
	for len(s.segs) > 0 {
		r.closeSegment(s, 0)
	}
	s.gone = true
	delete(r.streams, s.path)
	r.setProblem(s.path, "")
}

// closeSegment closes one of the stream's files and remembers how far it was read.
func (r *follower) closeSegment(s *stream, i int) {
	g := s.segs[i]
	s.segs = slices.Delete(s.segs, i, i+1)
	s.mark = ""
	r.unwatch(s, g)
	s.closed(g)
	g.close()
	if len(s.past) >= 8 {
		s.past = slices.Delete(s.past, 0, 1)
	}
	s.past = append(s.past, pastFile{id: g.id, seg: *g})
}

// look is the sweep's part for one stream: what inotify would have told, and
// which rotated files have been quiet for long enough.
func (r *follower) look(s *stream, now time.Time) {
	var st unix.Stat_t
	err := unix.Stat(s.path, &st)
	last := s.last()
	if err == nil && (last == nil || last.id != idOf(&st)) {
		s.check = true
		r.enqueue(s)
	}
	for i, g := range s.segs {
		linked := g.stat()
		if g.size != g.off || g.mtime != g.readMtime || g.unpacked != nil {
			r.enqueue(s)
			continue
		}
		if now.Sub(g.quiet) < holdOld {
			continue
		}
		// A rotated file is let go when its successor is written to, or when nobody
		// could find it any more. One whose name leads nowhere may be written to
		// for hours, until the writer is told to open the name again.
		if i < len(s.segs)-1 && (last.size > 0 || !linked) || err != nil && !linked {
			g.expired = true
			r.enqueue(s)
		}
	}
}

// step reads one block of the stream, from its oldest file that has one. It says
// whether to come again. The only error is that ctx is done.
func (r *follower) step(ctx context.Context, s *stream) (more bool, err error) {
	if s.gone {
		return false, nil
	}
	if s.check {
		s.check = false
		r.checkName(s)
	}
	for i := 0; i < len(s.segs); i++ {
		g := s.segs[i]
		got, err := r.block(ctx, s, g)
		if got || err != nil {
			return got, err
		}
		if g.ended || g.expired {
			if err := r.finish(ctx, s, g); err != nil {
				return false, err
			}
			r.closeSegment(s, slices.Index(s.segs, g))
			i--
		}
	}
	s.live = s.live || len(s.segs) > 0
	return false, nil
}

// block reads one block of one file. It says whether there was anything to do.
func (r *follower) block(ctx context.Context, s *stream, g *segment) (bool, error) {
	if g.unpacked == nil {
		intact := g.intact()
		changed := g.readMtime != g.mtime
		g.readMtime = g.mtime
		if !intact || g.size == g.off && !g.sameTail() {
			r.rewritten(s, g)
			return true, nil
		}
		if g.size == g.off {
			s.in.Lag.Store(0)
			return g.done() == 0 && changed && r.missedCopies(s, g), nil
		}
	} else if g.ended {
		return false, nil
	}
	b, err := r.feed.Get(ctx)
	if err != nil {
		return false, err
	}
	space := g.split.space(b)
	n, err := g.read(space)
	if err != nil {
		r.fault(s, err)
	}
	// Any time may have passed since the file was looked at: that for a batch, or
	// that in which we were stopped. If it was emptied and written to meanwhile,
	// what was read is from the middle of other lines.
	if g.unpacked == nil && (!g.sameHead() || g.done() == 0 && r.missedCopies(s, g)) {
		r.feed.Recycle(b)
		return true, nil
	}
	if n > 0 {
		g.remember(space[:n])
		g.quiet = time.Now()
	}
	cut := g.split.split(b, n)
	b.Live = s.live
	if b.Lines > 0 {
		b.End = r.position(s, g)
	}
	s.in.Lag.Store(s.lag())
	deliver(r.feed, b, s.in, int64(n), cut)
	return n > 0, nil
}

// finish delivers what a file that is closed has left of a line without end.
func (r *follower) finish(ctx context.Context, s *stream, g *segment) error {
	if g.split.size == 0 {
		return nil
	}
	b, err := r.feed.Get(ctx)
	if err != nil {
		return err
	}
	cut := g.split.finish(b)
	s.mark, b.Live = "", s.live
	b.End = r.position(s, g)
	deliver(r.feed, b, s.in, 0, cut)
	return nil
}

// lag returns the bytes that stand in the stream's files and were not read, as
// of the last look.
func (s *stream) lag() (bytes int64) {
	for _, g := range s.segs {
		if g.unpacked == nil {
			bytes += max(g.size-g.off, 0)
		}
	}
	return bytes
}

// position returns where the stream goes on after what was read of g now: in the
// youngest file that was begun. Its time is that of the last write to g, as far as
// it was read. Rotated files before it that are still open are
// told in its mark. The mark is made anew only when it changes, which is not with
// every batch: while the head grows, and when an older file was read.
func (r *follower) position(s *stream, g *segment) pipeline.Position {
	front := 0
	for i, o := range s.segs {
		if o.started {
			front = i
		}
	}
	at := s.segs[front]
	if s.mark == "" || at != g || s.markOf != at || s.markHead != len(at.head) {
		m := mark{first: at.firstLine(), file: at.fileMark(), rotated: at.known.youngest}
		if at.known.none {
			m.rotated.hash = noFirst
		}
		if m.first == "" {
			m.first = noFirst
		}
		for _, o := range s.segs[:front] {
			m.older = append(m.older, o.fileMark())
		}
		s.mark, s.markOf, s.markHead = m.String(), at, len(at.head)
	}
	return pipeline.Position{Offset: at.done(), Mark: s.mark, AtNanos: g.mtime}
}

// fault logs an error once, until another one comes or it is over. That there is
// no file is none.
func (r *follower) fault(s *stream, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != s.fault {
		r.setProblem(s.path, text)
		if err != nil {
			r.log.Warn("file cannot be read", "file", s.path, "error", err)
		} else {
			r.log.Info("file can be read again", "file", s.path)
		}
		s.fault = text
	}
}

// Problem says why a file that is followed cannot be read now; empty: it can, or
// there is none. Any goroutine may call it.
func (f *Files) Problem(path string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.problems[path]
}

// setProblem notes why a file cannot be read; empty: it can.
func (f *Files) setProblem(path, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if text == "" {
		delete(f.problems, path)
		return
	}
	if f.problems == nil {
		f.problems = map[string]string{}
	}
	f.problems[path] = text
}

// checkName looks where the name leads now and takes up the file if it is another.
func (r *follower) checkName(s *stream) {
	if !s.begun {
		r.begin(s)
		return
	}
	last := s.last()
	if last != nil && leadsTo(s.path, last.id) {
		return
	}
	g, err := openSegment(s.path)
	if err != nil {
		r.fault(s, err)
		return
	}
	r.fault(s, nil)
	r.change(s, g)
	r.watchTarget(s)
}

// watchTarget watches the directory that a symlink leads into.
func (r *follower) watchTarget(s *stream) {
	real, err := filepath.EvalSymlinks(s.path)
	if err != nil || real == s.path {
		return
	}
	if w := r.watchDir(filepath.Dir(real)); w != nil && !slices.Contains(w.streams, s) {
		w.streams = append(w.streams, s)
	}
}
