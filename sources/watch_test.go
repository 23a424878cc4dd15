package sources

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	nxwatch "github.com/nxadm/tail/watch"
	"gopkg.in/tomb.v1"
)

// TestWhyNotNxadmWatch and TestWhyNotFsnotify are the trials that the package
// comment's decision rests on. When one fails, a library has become better: look
// at the decision again.
func TestWhyNotNxadmWatch(t *testing.T) {
	f := func(name string, move func(path string), write func(w *writer)) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "log")
		target := path + ".target"
		w := newWriter(t, target)
		w.write(1)
		w.must(os.Symlink(target, path))
		var dying tomb.Tomb
		defer dying.Kill(nil)
		changes, err := nxwatch.NewInotifyFileWatcher(path).ChangeEvents(&dying, 0)
		if err != nil {
			t.Fatal(err)
		}
		w.write(1)
		if !announced(changes, 2*time.Second) {
			t.Fatalf("%s: a plain write was not announced", name)
		}
		for announced(changes, 50*time.Millisecond) {
		}
		move(path)
		for announced(changes, 50*time.Millisecond) {
		}
		w.path = path
		write(w)
		if announced(changes, 300*time.Millisecond) {
			t.Errorf("%s: announced; the package comment says that it is not", name)
		}
	}
	f("late writer", func(path string) {
		_ = os.Rename(path+".target", path+".1")
	}, func(w *writer) { w.write(1) }) // through the descriptor that it has
	f("symlink switched", func(path string) {
		_ = os.WriteFile(path+".other", nil, 0o600)
		_ = os.Symlink(path+".other", path+".tmp")
		_ = os.Rename(path+".tmp", path)
	}, func(w *writer) {
		w.open(0) // the new target
		w.write(1)
	})
}

func announced(c *nxwatch.FileChanges, within time.Duration) bool {
	select {
	case <-c.Modified:
	case <-c.Truncated:
	case <-c.Deleted:
	case <-time.After(within):
		return false
	}
	return true
}

// Two streams of one inode (a file and a symlink to it, or a file found under its
// rotated name) need both to be told, and one to go on when the other stops.
func TestWhyNotFsnotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := newWriter(t, path)
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	var names []string
	for range 2 {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		name := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
		if err := notify.Add(name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	told := func() map[string]bool {
		w.write(1)
		told := map[string]bool{}
		for end := time.After(300 * time.Millisecond); ; {
			select {
			case e := <-notify.Events:
				told[e.Name] = true
			case <-end:
				return told
			}
		}
	}
	both := told()
	if err := notify.Remove(names[0]); err != nil {
		t.Log(err)
	}
	left := told()
	t.Logf("told of %v; after the first was removed, of %v", both, left)
	if len(both) == 2 && left[names[1]] {
		t.Error("both names were told, and the second after the first was removed; the package comment says otherwise")
	}
}
