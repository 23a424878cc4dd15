package sources

import (
	"bytes"
	"errors"
	"slices"
)

// begin carries out the stream's Start. Where there is no file yet it is left for later.
func (r *follower) begin(s *stream) {
	g, err := openSegment(s.path)
	if err != nil {
		r.fault(s, err)
		return
	}
	r.fault(s, nil)
	s.begun = true
	if s.start.Position.Mark == "" || s.start.Position.Offset < 0 || !r.resume(s, g) {
		r.startAt(s, g)
		g.known.note(s.finished(listSiblings(s.path, r.names), g))
	}
	r.append(s, g)
	r.watchTarget(s)
}

// startAt sets a file's offset to what Start says beside the position.
func (r *follower) startAt(s *stream, g *segment) {
	off := int64(0)
	switch {
	case s.start.Tail:
		off = lineStart(g.file, g.size)
	case s.start.FromNanos > 0 && s.start.At != nil:
		off = searchTime(g.file, g.size, s.start.FromNanos, s.start.At)
	}
	if off == 0 {
		return
	}
	if err := g.goTo(off); err != nil {
		r.fault(s, err)
	}
}

// resume goes on from the stored position, if g or a rotated file is what it was
// stored for, or if there are rotated files that are younger than that. What comes
// before g is added to the stream.
func (r *follower) resume(s *stream, g *segment) bool {
	for range maxAttempts {
		all := s.finished(siblings(s.path), g)
		segs, ok, err := r.reopen(s, g, all)
		if err != nil {
			closeSegments(segs)
			continue
		}
		g.known.note(all)
		if len(segs) > 0 {
			r.log.Info("file was rotated, the rest of the old ones is read", "file", s.path, "oldest", segs[0].path)
			g.known.again = true
			r.appendAll(s, segs)
		}
		return ok
	}
	r.log.Warn("files are renamed all the time, the stored position is not found", "file", s.path)
	return false
}

// reopen opens the rotated files that are to be read before g, and sets g's offset
// where the stored position is in it. It says whether the position was of use.
// The error is errMoved, with what was opened before it.
func (r *follower) reopen(s *stream, g *segment, all []sibling) (segs []*segment, ok bool, err error) {
	m, off := parseMark(s.start.Position.Mark), s.start.Position.Offset
	for _, o := range m.older {
		_, old, err := find(all, o.inode, func(g *segment) bool { return o.matches(g.headNow(headSize)) && g.reaches(o.offset) })
		if err != nil {
			return segs, false, err
		}
		if old != nil {
			segs = append(segs, old)
		}
	}
	isIt := func(g *segment) bool { return m.matches(g.headNow(headSize), g.firstLine) }
	if g.size >= off && isIt(g) {
		if err := g.goTo(off); err != nil {
			r.fault(s, err)
		}
		return segs, true, nil
	}
	at, old, err := find(all, m.file.inode, func(g *segment) bool { return isIt(g) && g.reaches(off) })
	if err != nil {
		return segs, false, err
	}
	var younger []sibling
	if old != nil {
		segs = append(segs, old)
		younger = all[at+1:]
	} else if younger, err = m.younger(all, s.start.Position.AtNanos); err != nil {
		return segs, false, err
	} else {
		younger = slices.DeleteFunc(slices.Clone(younger), func(o sibling) bool { return o.mtime < s.start.FromNanos })
	}
	more, err := r.openAll(&stream{segs: segs}, before(younger, g.id), g)
	segs = append(segs, more...)
	return segs, len(segs) > 0, err
}

// openAll opens rotated files of the stream, to be read from their start to their
// end. What cannot be read, is the current file, is open or was in its unpacked
// form, or is followed under its own name, is left out. The error is errMoved,
// with what was opened before it.
func (r *follower) openAll(s *stream, siblings []sibling, current *segment) (segs []*segment, err error) {
	for _, o := range siblings {
		if s.known(current.id)(o.id) || r.streams[o.path] != nil {
			continue
		}
		g, err := o.open()
		if errors.Is(err, errMoved) {
			return segs, err
		}
		if err != nil {
			r.log.Warn("rotated file cannot be read", "error", err)
			continue
		}
		if g.unpacked != nil && (len(g.head) == 0 || s.packed(g, current)) {
			g.close() // nothing is in it, and nobody writes to it any more; or it was read
			continue
		}
		segs = append(segs, g)
	}
	return segs, nil
}

func closeSegments(segs []*segment) {
	for _, g := range segs {
		g.close()
	}
}

// known returns whether a file is the given one or open in the stream.
func (s *stream) known(also fileID) func(fileID) bool {
	return func(id fileID) bool {
		return id == also || slices.ContainsFunc(s.segs, func(g *segment) bool { return g.id == id })
	}
}

// packed says whether the packed file g is one that the stream reads unpacked, or
// did, or is about to.
func (s *stream) packed(g, current *segment) bool {
	// An open file may not have been read yet: what counts is what is in it.
	same := func(o *segment) bool { return bytes.Equal(o.headNow(headSize), g.head) }
	return same(current) || slices.ContainsFunc(s.segs, same) ||
		slices.ContainsFunc(s.past, func(p pastFile) bool { return g.continues(&p.seg) })
}

// append adds a file as the stream's youngest.
func (r *follower) append(s *stream, g *segment) { r.insert(s, len(s.segs), g) }

func (r *follower) appendAll(s *stream, segs []*segment) { r.insert(s, len(s.segs), segs...) }

func (r *follower) insert(s *stream, i int, segs ...*segment) {
	s.segs = slices.Insert(s.segs, i, segs...)
	s.mark = ""
	s.inserted(r, i, segs)
	for _, g := range segs {
		r.watchInode(s, g)
		r.log.Debug("file opened", "file", s.path, "opened", g.path, "inode", g.id.inode, "offset", g.off)
	}
	for len(s.segs) > maxSegments {
		r.log.Warn("too many rotated files held open, the oldest is closed", "file", s.path)
		r.closeSegment(s, 0)
	}
}

// leadsBack says whether g, to which the name leads, is a file that is open already.
// Then that one is the youngest, and g is closed.
func (s *stream) leadsBack(g *segment) bool {
	i := slices.IndexFunc(s.segs, func(o *segment) bool { return o.id == g.id })
	if i < 0 {
		return false
	}
	g.close()
	back := s.segs[i]
	s.segs = append(slices.Delete(s.segs, i, i+1), back)
	s.mark, back.expired = "", false
	return true
}

// change takes up g, to which the name leads now.
func (r *follower) change(s *stream, g *segment) {
	if s.leadsBack(g) {
		return
	}
	if r.handOver(s, g.id) {
		g.close()
		return
	}
	last := s.last()
	if last != nil && !last.intact() {
		r.rewritten(s, last) // it was emptied before its name was given away
		if s.leadsBack(g) {
			// It was rotated since the name led to it, and taken for a copy.
			youngest := s.last()
			youngest.known.note(s.finished(siblings(s.path), youngest))
			youngest.known.again = true
			return
		}
	}
	if i := slices.IndexFunc(s.past, func(p pastFile) bool { return p.id == g.id && g.continues(&p.seg) }); i >= 0 {
		if err := g.goTo(s.past[i].seg.off); err != nil {
			r.fault(s, err)
		}
	} else if last != nil && last.started && g.continues(last) {
		// The file was replaced by a copy of itself, as editors do.
		if err := g.inherit(last); err != nil {
			r.fault(s, err)
		}
	} else if last != nil {
		r.appendMissed(s, last, g)
	}
	r.append(s, g)
}

// appendMissed adds the files that the name led to between last and g and that
// were rotated before they could be opened under it. Where last is gone, they are
// what is younger than the files that were there when last was opened.
func (r *follower) appendMissed(s *stream, last, g *segment) {
	for range maxAttempts {
		all := s.finished(siblings(s.path), g)
		younger, err := last.younger(all)
		if err != nil {
			continue
		}
		segs, err := r.openAll(s, before(younger, g.id), g)
		if err == nil {
			g.known.note(all)
			g.known.again = true
			r.appendAll(s, segs)
			return
		}
		closeSegments(segs)
	}
	r.log.Warn("files are renamed all the time, some may be missed", "file", s.path)
}
