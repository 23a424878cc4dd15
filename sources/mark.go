package sources

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

const (
	headSize  = 1024    // first bytes of a file that tell it from another
	tailSize  = 64      // bytes before the offset that must not have changed
	maxFirst  = 1 << 20 // a first line longer than this has no SHA-1
	noFirst   = "-"     // stands for it, and for no rotated file
	noHash    = "?"     // stands for the hash of a file that could not be looked at
	hashBytes = 8       // of the SHA-1 over the head
)

// mark is what Position.Mark of a file says, in this form:
//
//	SHA1 INODE:LEN:HASH <INODE:LEN:HASH [+INODE:OFFSET:LEN:HASH …]
//
// SHA1 is fail2ban's: of the first line with its '\n', in hex, or "-" where that
// line is longer than 1 MiB. A mark from fail2ban has nothing else. INODE is a
// hint which of several rotated files to look at first; what proves the file is
// HASH over its first LEN bytes. What stands after "<" is the youngest
// rotated file that was there when this one was opened, HASH "-" for none. The rest
// names files that the name led to before and that are still held open for late
// writers.
type mark struct {
	first   string
	file    fileMark
	rotated fileMark
	older   []fileMark
}

// younger returns the rotated files that are younger than what the mark knows of,
// where its own file is gone. atNanos is the time of the last write that was read.
func (m mark) younger(all []sibling, atNanos int64) ([]sibling, error) {
	if m.rotated.hash == "" || atNanos == 0 {
		return nil, nil // of fail2ban's making
	}
	k := known{youngest: m.rotated, none: m.rotated.hash == noFirst, mtime: atNanos}
	return k.younger(all)
}

// fileMark names one file by its beginning.
type fileMark struct {
	inode  uint64
	offset int64 // of an older file: what of it was read
	length int   // of the head; 0: nothing is known of it
	hash   string
}

// headHash returns the hash of a file's first bytes as a mark has it.
func headHash(head []byte) string {
	sum := sha1.Sum(head)
	return hex.EncodeToString(sum[:hashBytes])
}

// firstLineHash returns the hash of the first line, which r begins with: "" where
// its '\n' is not there, "-" where it is too far.
func firstLineHash(r io.ReaderAt) string {
	var (
		sum = sha1.New()
		buf = make([]byte, 4<<10)
	)
	for at := int64(0); at < maxFirst; {
		n, err := r.ReadAt(buf, at)
		if end := bytes.IndexByte(buf[:n], '\n'); end >= 0 {
			sum.Write(buf[:end+1])
			return hex.EncodeToString(sum.Sum(nil))
		}
		sum.Write(buf[:n])
		at += int64(n)
		if err != nil || n == 0 {
			return ""
		}
	}
	return noFirst
}

// String returns the mark in its form.
func (m mark) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d:%d:%s", m.first, m.file.inode, m.file.length, m.file.hash)
	if m.rotated.hash != "" {
		fmt.Fprintf(&b, " <%d:%d:%s", m.rotated.inode, m.rotated.length, m.rotated.hash)
	}
	for _, o := range m.older {
		fmt.Fprintf(&b, " +%d:%d:%d:%s", o.inode, o.offset, o.length, o.hash)
	}
	return b.String()
}

// parseMark reads a mark. What it does not understand it leaves out: a position
// whose mark is of no use is one that no file has.
func parseMark(s string) mark {
	var m mark
	for i, word := range strings.Fields(s) {
		if i == 0 {
			m.first = word
			continue
		}
		parts := strings.Split(strings.TrimLeft(word, "<+"), ":")
		var f fileMark
		if word[0] == '+' && len(parts) == 4 {
			f.offset, _ = strconv.ParseInt(parts[1], 10, 64)
			parts = slices.Delete(parts, 1, 2)
		}
		if len(parts) != 3 {
			continue
		}
		f.inode, _ = strconv.ParseUint(parts[0], 10, 64)
		f.length, _ = strconv.Atoi(parts[1])
		f.hash = parts[2]
		switch {
		case word[0] == '+':
			m.older = append(m.older, f)
		case word[0] == '<':
			m.rotated = f
		case i == 1:
			m.file = f
		}
	}
	return m
}

// matches says whether a file that begins with head is the one that the mark
// names. first is asked for only where the mark has nothing but the first line.
func (m mark) matches(head []byte, first func() string) bool {
	if m.file.length > 0 {
		return m.file.matches(head)
	}
	return len(m.first) == 2*sha1.Size && m.first == first()
}

func (m fileMark) matches(head []byte) bool {
	return m.length > 0 && m.length <= len(head) && headHash(head[:m.length]) == m.hash
}
