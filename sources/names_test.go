package sources

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestTailSymlink(t *testing.T) {
	torture(t, func(t *testing.T, path string, follow following) {
		dir := filepath.Dir(path)
		var w *writer
		var want []string
		var s *tail
		link := func(to string) {
			t.Helper()
			if err := os.Symlink(to, path+".tmp"); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".tmp", path); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		for round := range 5 {
			// Back and forth between two files, and on to new ones.
			target := filepath.Join(dir, fmt.Sprintf("day%d", []int{0, 1, 0, 1, 2}[round]))
			w = &writer{t: t, path: target, name: "sym", n: n}
			w.open(0)
			w.write(100)
			link(target)
			if s == nil {
				s = follow(path)
			}
			w.write(25)
			want = append(want, w.lines...)
			s.wait(len(want))
			n = w.n
			w.must(w.file.Close())
		}
		s.exactly(want)
	})
}

func TestTailSymlinkTargetRotated(t *testing.T) {
	torture(t, func(t *testing.T, path string, follow following) {
		target := filepath.Join(filepath.Dir(path), "elsewhere", "real.log")
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		w := newWriter(t, target)
		w.write(100)
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		s := follow(path)
		s.wait(100)
		for range 3 {
			w.write(100)
			w.rotate()
		}
		w.write(1)
		s.exactly(w.lines)
	})
}

func TestTailAppearsLater(t *testing.T) {
	torture(t, func(t *testing.T, path string, follow following) {
		dir := filepath.Join(filepath.Dir(path), "a", "b", "c")
		file := filepath.Join(dir, "new.log")
		s := follow(file, filepath.Join(filepath.Dir(path), "hosts", "*", "x*.log"))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		w := newWriter(t, file)
		w.write(100)
		s.exactly(w.lines)
		var all []string
		all = append(all, w.lines...)
		for i := range 4 {
			host := filepath.Join(filepath.Dir(path), "hosts", fmt.Sprintf("h%d", i))
			if err := os.MkdirAll(host, 0o755); err != nil {
				t.Fatal(err)
			}
			g := newWriter(t, filepath.Join(host, fmt.Sprintf("x%d.log", i)))
			g.write(50)
			newWriter(t, filepath.Join(host, "other.log")).write(1)
			newWriter(t, filepath.Join(host, "x.txt")).write(1)
			all = append(all, g.lines...)
			s.exactly(all)
		}
	})
}

// The whole directory is moved away and made anew.
func TestTailDirectoryReplaced(t *testing.T) {
	torture(t, func(t *testing.T, path string, follow following) {
		dir := filepath.Join(filepath.Dir(path), "logs")
		file := filepath.Join(dir, "x.log")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		w := newWriter(t, file)
		w.write(10)
		s := follow(filepath.Join(dir, "*.log"))
		s.exactly(w.lines)
		for i := range 3 {
			w.must(os.Rename(dir, fmt.Sprintf("%s%d", dir, i)))
			w.write(10) // late, in the moved directory
			w.must(os.Mkdir(dir, 0o755))
			w.open(0)
			w.write(10)
			s.exactly(w.lines)
		}
	})
}

func TestTailGlobOfRotatedNames(t *testing.T) {
	torture(t, func(t *testing.T, path string, follow following) {
		w := newWriter(t, path)
		w.write(10)
		s := follow(path + "*")
		for range 5 {
			s.wait(len(w.lines))
			w.shift()
			w.write(10) // to the renamed file
			s.wait(len(w.lines))
			w.open(0)
			w.write(10)
		}
		s.wait(len(w.lines))
		got := s.got()
		slices.Sort(got)
		s.compare(w.lines, got)
	})
}
