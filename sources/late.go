package sources

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// late reads what a followed name has been read of already, for an input that
// came later, until it has come to the very byte at which the stream stands.
// Both are read by one goroutine into one feed, so that the place is exact.
//
// It follows the stream's files one by one: each is opened a second time and
// read up to the offset of the first. A file that the stream takes up meanwhile
// is taken up here too; of one that was emptied after a copy the copy is read on.
type late struct {
	stream *stream
	in     *pipeline.Input
	files  []*lateFile // oldest first
	asked  request
}

// lateFile is a file of the stream, opened once more.
type lateFile struct {
	of    *segment // up to whose offset it is read
	own   *segment
	ended bool  // the stream has closed it: what is left of a line is one
	moved bool  // the stream has given it to another name
	limit int64 // then: how far it is read
}

// until is the offset at which the stream stands, or left the file.
func (f *lateFile) until() int64 {
	if f.ended || f.moved {
		return f.limit
	}
	return f.of.off
}

// request is what CatchUp was asked.
type request struct {
	path  string
	in    *pipeline.Input
	start Start
}

// CatchUp reads a file that is followed already for a further input, from start
// (whose Position counts where it is in the file that the name leads to now). Its
// last batch has no lines: what the file's own input is given after that one is
// what comes after this input's lines. Where the path is not followed that batch
// comes at once. Any goroutine may call it.
func (f *Files) CatchUp(path string, in *pipeline.Input, start Start) {
	f.mu.Lock()
	f.asked = append(f.asked, request{path, in, start})
	f.mu.Unlock()
	f.Rescan()
}

// takeUp begins with what CatchUp was asked.
func (r *follower) takeUp() {
	r.mu.Lock()
	asked := r.asked
	r.asked = nil
	r.mu.Unlock()
	for _, q := range asked {
		l := &late{in: q.in, asked: q}
		if s := r.streams[q.path]; s != nil {
			l.stream = s
			for i, g := range s.segs {
				l.take(r, i, g)
				if i == len(s.segs)-1 && len(l.files) > 0 {
					l.begin(r, l.files[len(l.files)-1])
				}
			}
			s.lates = append(s.lates, l)
		}
		r.lates = append(r.lates, l)
	}
}

// take opens a file of the stream once more, to be read from where that stands.
func (l *late) take(r *follower, at int, g *segment) {
	own, err := reopen(g)
	if err == nil {
		err = own.goTo(g.done())
	}
	if err != nil {
		r.log.Warn("a jail that came later misses what was read of a file", "file", g.path, "error", err)
		return
	}
	l.files = slices.Insert(l.files, min(at, len(l.files)), &lateFile{of: g, own: own})
}

// begin goes back to where the reading is to start.
func (l *late) begin(r *follower, f *lateFile) {
	off := int64(0)
	start, g := l.asked.start, f.own
	m := parseMark(start.Position.Mark)
	switch {
	case g.unpacked != nil:
		return
	case start.Position.Mark != "" && start.Position.Offset >= 0 && m.matches(g.headNow(headSize), g.firstLine):
		off = start.Position.Offset
	case start.Tail:
		return
	case start.FromNanos > 0 && start.At != nil:
		off = searchTime(g.file, g.size, start.FromNanos, start.At)
	}
	if off >= g.off {
		return // the stream has not come so far
	}
	g.restart()
	if err := g.goTo(off); err != nil {
		r.log.Warn("a jail that came later misses what was read of a file", "file", f.of.path, "error", err)
	}
}

// file returns what the late reader has of a file of the stream, or nil.
func (l *late) file(g *segment) *lateFile {
	i := slices.IndexFunc(l.files, func(f *lateFile) bool { return f.of == g })
	if i < 0 {
		return nil
	}
	return l.files[i]
}

// inserted tells the late readers of files that the stream has taken up.
func (s *stream) inserted(r *follower, i int, segs []*segment) {
	for _, l := range s.lates {
		for k, g := range segs {
			if l.file(g) == nil {
				l.take(r, i+k, g)
			}
		}
	}
}

// replaced tells them that what g was goes on in its copy: g itself, now emptied,
// is a new file at the same place.
func (s *stream) replaced(r *follower, g, copied *segment) {
	for _, l := range s.lates {
		f := l.file(g)
		if f == nil {
			continue
		}
		if copied != nil {
			if c := l.file(copied); c != nil {
				c.own.close()
				off, split := f.own.off, f.own.split
				l.files = slices.DeleteFunc(l.files, func(x *lateFile) bool { return x == c })
				if own, err := reopen(copied); err == nil && own.goTo(off) == nil {
					own.split = split
					l.files = slices.Insert(l.files, slices.Index(l.files, f), &lateFile{of: copied, own: own})
				}
			}
		}
		f.own.restart()
	}
}

// reopen opens a file of the stream once more.
func reopen(g *segment) (*segment, error) {
	own, err := openSegment(fmt.Sprintf("/proc/self/fd/%d", int(g.file)))
	if err == nil && g.unpacked != nil {
		err = own.unpack(filepath.Ext(g.path))
	}
	return own, err
}

// closed tells them that the stream has read a file to its end, moved that
// another name goes on with it.
func (s *stream) closed(g *segment) {
	s.left(g, func(f *lateFile) { f.ended = true })
}

func (s *stream) moved(g *segment) {
	s.left(g, func(f *lateFile) { f.moved = true })
}

func (s *stream) left(g *segment, note func(*lateFile)) {
	for _, l := range s.lates {
		if f := l.file(g); f != nil && !f.ended && !f.moved {
			f.limit = g.off
			note(f)
		}
	}
}

// catchUp reads one block for each late reader, and ends those that have come to
// where their stream stands. The only error is that ctx is done.
func (r *follower) catchUp(ctx context.Context) error {
	for _, l := range slices.Clone(r.lates) {
		more, err := r.catchUpOne(ctx, l)
		if err != nil {
			return err
		}
		if !more {
			if err := r.join(ctx, l); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *follower) catchUpOne(ctx context.Context, l *late) (more bool, err error) {
	for i := 0; i < len(l.files); i++ {
		f := l.files[i]
		if limit := f.until() - f.own.off; limit > 0 {
			return true, r.lateBlock(ctx, l, f, limit)
		}
		if f.ended {
			if err := r.lateEnd(ctx, l, f); err != nil {
				return false, err
			}
		}
		if f.ended || f.moved {
			f.own.close()
			l.files = slices.Delete(l.files, i, i+1)
			i--
		}
	}
	return false, nil
}

// lateBlock reads one block of a file, not beyond limit bytes.
func (r *follower) lateBlock(ctx context.Context, l *late, f *lateFile, limit int64) error {
	b, err := r.feed.Get(ctx)
	if err != nil {
		return err
	}
	space := f.own.split.space(b)
	n, err := f.own.read(space[:min(int64(len(space)), limit)])
	if n == 0 || err != nil || f.own.unpacked == nil && !f.ended && !f.moved && !f.of.intact() {
		// The file is not what it was. The stream sees it, and says how to go on;
		// what it has closed has no more to say.
		r.feed.Recycle(b)
		if f.ended || f.moved {
			f.own.off = f.limit
		}
		r.enqueue(l.stream)
		return nil
	}
	f.own.remember(space[:n])
	cut := f.own.split.split(b, n)
	b.End = l.position(f)
	deliver(r.feed, b, l.in, int64(n), cut)
	return nil
}

// lateEnd delivers what a closed file has left of a line without end.
func (r *follower) lateEnd(ctx context.Context, l *late, f *lateFile) error {
	if f.own.split.size == 0 {
		return nil
	}
	b, err := r.feed.Get(ctx)
	if err != nil {
		return err
	}
	cut := f.own.split.finish(b)
	b.End = l.position(f)
	deliver(r.feed, b, l.in, 0, cut)
	return nil
}

// position is where the late reader goes on, as a stream's: Files understands it.
func (l *late) position(f *lateFile) pipeline.Position {
	m := mark{first: f.own.firstLine(), file: f.own.fileMark(), rotated: f.of.known.youngest}
	if m.first == "" {
		m.first = noFirst
	}
	if f.of.known.none {
		m.rotated.hash = noFirst
	}
	return pipeline.Position{Offset: f.own.done(), Mark: m.String(), AtNanos: f.of.mtime}
}

// join says, by a batch without lines, that the input has come to where the
// stream stands.
func (r *follower) join(ctx context.Context, l *late) error {
	b, err := r.feed.Get(ctx)
	if err != nil {
		return err
	}
	b.Input = l.in
	if s := l.stream; s != nil {
		if g := s.last(); g != nil {
			b.End = r.position(s, g)
		}
		s.lates = slices.DeleteFunc(s.lates, func(x *late) bool { return x == l })
	}
	r.lates = slices.DeleteFunc(r.lates, func(x *late) bool { return x == l })
	l.close()
	r.feed.Put(b)
	return nil
}

func (l *late) close() {
	for _, f := range l.files {
		f.own.close()
	}
	l.files = nil
}
