package sources

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// sibling is a file beside a log that its rotation made.
type sibling struct {
	path   string
	id     fileID
	mtime  int64 // nanoseconds since the epoch
	number string
}

// siblings returns the rotated files of the log at path, the oldest first: those
// beside it, and where it is a symlink, beside what it leads to.
//
// A directory is not read in one moment: of a file that is renamed meanwhile both
// names may be listed or none. So it is read until two listings are the same.
func siblings(path string) []sibling {
	all := listSiblings(path, dirNames)
	for range maxAttempts {
		again := listSiblings(path, dirNames)
		if slices.EqualFunc(all, again, func(a, b sibling) bool { return a.path == b.path && a.id == b.id }) {
			break
		}
		all = again
	}
	return all
}

// open opens the file, if it still has the name that it was listed under.
func (s sibling) open() (*segment, error) {
	g, err := openSegment(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errMoved
	}
	if err == nil && g.id != s.id {
		g.close()
		return nil, errMoved
	}
	return g, err
}

// errMoved says that what was listed has another name now: to be listed again.
var errMoved = errors.New("file was renamed")

// maxAttempts bounds how often a directory is listed again because a rotation is
// at work in it.
const maxAttempts = 100

// dirNames returns the names in a directory, none where it cannot be read.
func dirNames(dir string) (names []string) {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ = d.Readdirnames(-1)
	return names
}

// listSiblings is siblings by one look at the directory, which names is asked for.
func listSiblings(path string, names func(dir string) []string) []sibling {
	found := siblingsOf(path, names)
	if real, err := filepath.EvalSymlinks(path); err == nil && real != filepath.Clean(path) {
		for _, s := range siblingsOf(real, names) {
			if !slices.ContainsFunc(found, func(o sibling) bool { return o.id == s.id }) {
				found = append(found, s)
			}
		}
	}
	// While a file is packed both are there; the packed one is not complete.
	paths := make(map[string]bool, len(found))
	for _, s := range found {
		paths[s.path] = true
	}
	found = slices.DeleteFunc(found, func(s sibling) bool {
		plain := unpackedName(s.path)
		return plain != s.path && paths[plain]
	})
	slices.SortStableFunc(found, byAge)
	return found
}

func unpackedName(path string) string {
	return strings.TrimSuffix(strings.TrimSuffix(path, ".gz"), ".bz2")
}

func siblingsOf(path string, names func(dir string) []string) []sibling {
	dir, base := filepath.Split(path)
	var found []sibling
	for _, name := range names(filepath.Clean(cmp.Or(dir, "."))) {
		number, ok := rotation(base, name)
		if !ok {
			continue
		}
		var st unix.Stat_t
		s := sibling{path: filepath.Join(dir, name), number: number}
		if unix.Stat(s.path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		s.id, s.mtime = idOf(&st), st.Mtim.Nano()
		found = append(found, s)
	}
	return found
}

// rotation says whether name is what a rotation makes of the log base, and
// returns the number or date in it. These are taken, each also with .gz or .bz2:
//
//	mail.log.1  mail.log-20261122  mail.log_2026-11-22  mail.log.old
//	mail-20261122.log  mail.1.log
func rotation(base, name string) (number string, ok bool) {
	name = unpackedName(name)
	if rest, ok := strings.CutPrefix(name, base); ok {
		return rest, isRotation(rest)
	}
	ext := filepath.Ext(base)
	rest, ok := strings.CutPrefix(name, strings.TrimSuffix(base, ext))
	if !ok || ext == "" || !strings.HasSuffix(rest, ext) {
		return "", false
	}
	rest = strings.TrimSuffix(rest, ext)
	return rest, isRotation(rest)
}

// isRotation says whether the text, which stands behind a log's name, is a
// separator and a number or a date and nothing else: mail.log.err is another log.
func isRotation(s string) bool {
	if len(s) < 2 || !strings.Contains(".-_", s[:1]) {
		return false
	}
	return s == ".old" || s == ".0" || strings.Trim(s, "0123456789.-_:T") == "" && strings.ContainsAny(s, "0123456789")
}

// byAge orders rotated files, the oldest first. The number in the name goes before
// the time of the last write: a late writer makes an old file new. Numbers grow
// with age, dates with time; where one has a number and the other a date, the
// times decide.
func byAge(a, b sibling) int {
	aNumber, bNumber := isNumber(a.number), isNumber(b.number)
	switch {
	case aNumber && bNumber:
		return cmp.Or(cmp.Compare(len(b.number), len(a.number)), cmp.Compare(b.number, a.number))
	case !aNumber && !bNumber && a.number != ".old" && b.number != ".old":
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.mtime, b.mtime))
	}
	return cmp.Compare(a.mtime, b.mtime)
}

// isNumber says whether the text is a rotation's number and no date.
func isNumber(s string) bool {
	return len(s) <= 5 && strings.Trim(s[1:], "0123456789") == ""
}

func indexID(all []sibling, id fileID) int {
	return slices.IndexFunc(all, func(o sibling) bool { return o.id == id })
}

// before returns the siblings that are older than the one with the id: all,
// where there is none.
func before(all []sibling, id fileID) []sibling {
	if i := indexID(all, id); i >= 0 {
		return all[:i]
	}
	return all
}
