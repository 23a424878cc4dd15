package sources

import (
	"bytes"
	"errors"
	"slices"
)

// known is which of a log's rotated files were there when a file was opened, or
// found truncated: what is younger holds lines that nobody read. It is told by
// the youngest that was not empty.
type known struct {
	youngest fileMark
	none     bool  // there were none
	mtime    int64 // the youngest's, in nanoseconds since the epoch
	size     int64 // of the file itself
	again    bool  // before the first read, a further copytruncate is to be looked for
}

// note keeps the youngest of the rotated files.
func (k *known) note(all []sibling) {
	k.youngest, k.mtime, k.none = fileMark{}, 0, true
	for i := len(all) - 1; i >= 0 && k.none; i-- {
		g, err := all[i].open()
		if err != nil {
			// It is being renamed or packed: its inode and its time must do.
			k.none, k.mtime, k.youngest = false, all[i].mtime, fileMark{inode: all[i].id.inode, hash: noHash}
			return
		}
		if head := g.headNow(headSize); len(head) > 0 {
			k.none, k.mtime = false, all[i].mtime
			k.youngest = fileMark{inode: g.id.inode, length: len(head), hash: headHash(head)}
		}
		g.close()
	}
}

// younger returns those of the rotated files that were not there. A file is
// known again by its beginning: its name changes, its time where somebody writes
// late, its inode when it is packed. Where the youngest one known is gone, what
// was written to after it is younger.
func (k *known) younger(all []sibling) ([]sibling, error) {
	if k.none {
		return all, nil
	}
	i, g, err := find(all, k.youngest.inode, func(g *segment) bool {
		return k.youngest.matches(g.headNow(headSize)) || k.youngest.hash == noHash && g.id.inode == k.youngest.inode
	})
	if err != nil {
		return nil, err
	}
	if g != nil {
		g.close()
		return all[i+1:], nil
	}
	return slices.DeleteFunc(slices.Clone(all), func(o sibling) bool { return o.mtime <= k.mtime }), nil
}

// younger returns those of the rotated files that are younger than g, which was
// rotated, and perhaps packed, or is gone.
func (g *segment) younger(all []sibling) ([]sibling, error) {
	i, c, err := find(all, g.id.inode, func(o *segment) bool {
		return o.id == g.id || o.unpacked != nil && len(o.head) > 0 && bytes.Equal(o.head, g.headNow(headSize))
	})
	if err != nil {
		return nil, err
	}
	if c != nil {
		c.close()
		return all[i+1:], nil
	}
	return g.known.younger(all)
}

// find returns the rotated file that is the one, open, and its index. The one
// with the inode is tried first, then the youngest. What cannot be opened is
// passed over; the error is errMoved.
func find(all []sibling, inode uint64, is func(*segment) bool) (int, *segment, error) {
	order := make([]int, 0, len(all))
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].id.inode == inode {
			order = slices.Insert(order, 0, i)
		} else {
			order = append(order, i)
		}
	}
	for _, i := range order {
		g, err := all[i].open()
		if errors.Is(err, errMoved) {
			return 0, nil, err
		}
		if err != nil {
			continue
		}
		if is(g) {
			return i, g, nil
		}
		g.close()
	}
	return 0, nil, nil
}

// rewritten deals with a file that is not what it was when it was read: shorter,
// or with other bytes at its beginning or before the offset. If a copy was made
// of what it was (copytruncate), the rest is read from there, then the copies
// after it, then the file from its start.
func (r *follower) rewritten(s *stream, g *segment) {
	var all []sibling
	var copied *segment
	for range maxAttempts {
		all = before(s.finished(siblings(s.path), g), g.id)
		segs, err := r.openCopies(s, g, all)
		if err == nil {
			r.insert(s, slices.Index(s.segs, g), segs...)
			if len(segs) > 0 && segs[0].started {
				copied = segs[0]
			}
			break
		}
		if len(segs) > 0 && segs[0].started {
			g.split, segs[0].split = segs[0].split, splitter{} // what was inherited goes back
		}
		closeSegments(segs)
	}
	g.restart()
	s.replaced(r, g, copied)
	g.known.note(all)
	g.known.again = true
	s.mark = ""
}

// openCopies opens the youngest copy of what g was, where there is one, at g's
// offset, and those that are younger. Where there is none, all that are new.
func (r *follower) openCopies(s *stream, g *segment, all []sibling) (segs []*segment, err error) {
	for n := len(all) - 1; n >= 0 && g.started; n-- {
		if s.known(g.id)(all[n].id) {
			continue
		}
		c, err := all[n].open()
		if errors.Is(err, errMoved) {
			return nil, err
		}
		if err != nil {
			continue // it was logged when it was new, or is none of ours
		}
		if !c.continues(g) || c.inherit(g) != nil {
			c.close()
			continue
		}
		r.log.Debug("file was truncated, the rest is read from its copy", "file", s.path, "copy", c.path)
		younger, err := r.openAll(s, all[n+1:], g)
		return append([]*segment{c}, younger...), err
	}
	younger, err := g.known.younger(all)
	if err != nil {
		return nil, err
	}
	return r.openAll(s, younger, g)
}

// missedCopies puts the copies before g that were made of it while no whole line
// of it was read, and says whether there were any. It is asked after a read and
// before that is delivered: a copy that is found means that what was read may be
// of the copy's time or of the time after it, and half a line does not tell.
func (r *follower) missedCopies(s *stream, g *segment) bool {
	if !g.known.again && g.off == 0 && g.size >= g.known.size {
		return false
	}
	for range maxAttempts {
		all := before(s.finished(siblings(s.path), g), g.id)
		younger, err := g.known.younger(all)
		if err != nil {
			continue
		}
		segs, err := r.openAll(s, younger, g)
		if err != nil {
			closeSegments(segs)
			continue
		}
		if len(segs) == 0 {
			return false
		}
		r.insert(s, slices.Index(s.segs, g), segs...)
		g.restart()
		g.known.note(all)
		g.known.again = true
		return true
	}
	return false
}

// finished leaves out the youngest sibling where it is a copy of what g is now:
// the truncation that belongs to it has not come yet, and what is in it is read
// from g. Such a copy may still be growing.
func (s *stream) finished(all []sibling, g *segment) []sibling {
	if len(all) == 0 || s.known(g.id)(all[len(all)-1].id) {
		return all
	}
	c, err := all[len(all)-1].open()
	if err != nil {
		return all
	}
	defer c.close()
	g.stat()
	head := c.headNow(headSize)
	if c.size <= g.size && bytes.Equal(head, g.headNow(len(head))) {
		return all[:len(all)-1]
	}
	return all
}
