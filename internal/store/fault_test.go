package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// childTask names what the test binary does as a child process instead of its tests.
const childTask = "F2BPIPE_STORE_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childTask) {
	case "":
		os.Exit(m.Run())
	case "write":
		writeForever(os.Args[1])
	case "hold":
		hold(os.Args[1])
	}
}

// child starts this binary for a task.
func child(t *testing.T, task, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0], path)
	cmd.Env = append(os.Environ(), childTask+"="+task)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd, bufio.NewScanner(out)
}

// checkpoint is the i-th of writeForever's: a ban, and in the same moment its
// number as a position and as a count.
func checkpoint(j *pipeline.Jail, i int) *pipeline.Checkpoint {
	b := ban(j, fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255))
	c := events(pipeline.EventBan, b)
	c.Inputs = []pipeline.InputEnd{{Input: pipeline.NewInput("/log", nil), End: pipeline.Position{Offset: int64(i), Mark: "m"}}}
	c.Inputs[0].Memory = []pipeline.Memory{{Jail: j.Name, Key: "k", Value: []byte(strconv.Itoa(i))}}
	c.Inputs[0].AllMemory, c.AllCounts = i%5 == 0, i%7 == 0
	c.Counts = []pipeline.Count{{Jail: j, ID: pipeline.ParseID("192.0.2.1"), FirstNanos: 1, LastNanos: int64(i), Failures: i}}
	return c
}

// writeForever saves checkpoints from where the store stands, and prints the number of each that is saved.
func writeForever(path string) {
	ctx, j := context.Background(), testJails{}.get("sshd")
	s, err := Open(ctx, Config{Path: path, Jails: func(*pipeline.Input) []*pipeline.Jail { return []*pipeline.Jail{j} }})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	p, _, _ := s.Position(ctx, j.Name, "/log")
	for i := int(p.Offset) + 1; ; i++ {
		if err := s.Save(ctx, checkpoint(j, i)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(i)
	}
}

// A process that is killed at any moment leaves a file in which bans, position,
// count and memory are of one moment, not before what it said was saved.
func TestKilled(t *testing.T) {
	ctx, path, jails := context.Background(), filepath.Join(t.TempDir(), "db"), testJails{}
	last := 0
	for round := range 15 {
		cmd, out := child(t, "write", path)
		for n := 0; n < 1+round && out.Scan(); n++ {
			last, _ = strconv.Atoi(out.Text())
		}
		time.Sleep(time.Duration(round*1700%9000) * time.Microsecond) // anywhere within a transaction
		must(t, cmd.Process.Kill())
		for out.Scan() {
			last, _ = strconv.Atoi(out.Text())
		}
		cmd.Wait()

		s := open(t, Config{Path: path})
		equal(t, "set aside", s.SetAside(), "")
		equal(t, "foreign", s.Foreign(), false)
		p, _, err := s.Position(ctx, "sshd", "/log")
		must(t, err)
		at := int(p.Offset)
		if at < last || at > last+1 {
			t.Errorf("position %d after %d was saved", at, last)
		}
		last = at
		counts, err := s.Counts(ctx, jails.get)
		must(t, err)
		equal(t, "count", counts[0].Failures, at)
		memory, err := s.Memory(ctx)
		must(t, err)
		equal(t, "memory", string(memory["/log"][0].Value), strconv.Itoa(at))
		equal(t, "bans", len(bans(t, s, jails)), at)
		must(t, s.Close())
	}
	t.Logf("%d checkpoints", last)
}

// hold takes a lock on the file, as a fail2ban in the middle of a transaction would, until it is killed.
func hold(path string) {
	db, err := openDB("file:" + path + "?_txlock=exclusive")
	if err == nil {
		_, err = db.Begin()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("locked")
	time.Sleep(time.Hour)
}

func TestLocked(t *testing.T) {
	ctx, jails := context.Background(), testJails{}
	path := filled(t, t.TempDir(), 3)
	s := open(t, Config{Path: path})
	cmd, out := child(t, "hold", path)
	out.Scan()
	c := events(pipeline.EventBan, ban(jails.get("sshd"), "192.0.2.1"))
	err := s.Save(ctx, c)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), fmt.Sprintf("kill %d", cmd.Process.Pid)) {
		t.Errorf("Save: %v", err)
	}
	equal(t, "fault", s.Fault(), err)
	_, err = Open(ctx, Config{Path: path})
	if !errors.Is(err, ErrInUse) {
		t.Errorf("Open: %v", err)
	}
	must(t, cmd.Process.Kill())
	cmd.Wait()
	must(t, s.Save(ctx, c))
	equal(t, "fault", s.Fault(), nil)
	equal(t, "bans", len(bans(t, s, jails)), 4)
}

// tmpfs mounts a file system of the given size in a mount namespace of this
// test's thread, on a directory that it returns. The test must not leave the
// thread: the store calls SQLite on the caller's.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	lockThread(t)
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		needNamespace(t, err)
	}
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		needNamespace(t, err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// With a full disk nothing is lost that was saved, Save says what helps, and
// works again as soon as there is room.
func TestDiskFull(t *testing.T) {
	ctx, jails, dir := context.Background(), testJails{}, tmpfs(t, "4m")
	path := filepath.Join(dir, "db")
	s := open(t, Config{Path: path})
	j := jails.get("sshd")
	must(t, s.Save(ctx, manyBans(j, 500)))
	filler := filepath.Join(dir, "filler")
	fill(t, filler)
	all := manyBans(j, 30_000)
	for range 3 {
		err := s.Save(ctx, all)
		if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "free space in "+dir) {
			t.Fatalf("Save: %v", err)
		}
		equal(t, "fault", s.Fault(), err)
	}
	equal(t, "bans", len(bans(t, s, jails)), 500)
	must(t, s.Close())

	// From the start, with a file and without one.
	s = open(t, Config{Path: path})
	if !errors.Is(s.Fault(), ErrFull) {
		t.Errorf("fault on opening: %v", s.Fault())
	}
	equal(t, "bans", len(bans(t, s, jails)), 500)
	other := open(t, Config{Path: filepath.Join(dir, "other")})
	if !errors.Is(other.Fault(), ErrFull) {
		t.Errorf("fault of a new file: %v", other.Fault())
	}
	if err := other.Save(ctx, all); !errors.Is(err, ErrFull) {
		t.Errorf("Save to a new file: %v", err)
	}
	must(t, os.Remove(filler))
	must(t, s.Save(ctx, manyBans(j, 1000)))
	equal(t, "fault", s.Fault(), nil)
	equal(t, "bans with room", len(bans(t, s, jails)), 1000)
	must(t, other.Save(ctx, manyBans(j, 10)))
	equal(t, "bans of the new file", len(bans(t, other, jails)), 10)
}

// fill writes a file until there is no room.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// A damaged file stays where it is until there is room for a new one.
func TestDamagedAndFull(t *testing.T) {
	ctx, jails, dir := context.Background(), testJails{}, tmpfs(t, "4m")
	path := filled(t, dir, 2000)
	must(t, os.Truncate(path, 200<<10))
	filler := filepath.Join(dir, "filler")
	fill(t, filler)
	s := open(t, Config{Path: path})
	if !errors.Is(s.Fault(), ErrFull) {
		t.Errorf("fault: %v", s.Fault())
	}
	equal(t, "files", files(t, dir), []string{"db", "filler"})
	must(t, os.Remove(filler))
	must(t, s.Save(ctx, events(pipeline.EventBan, ban(jails.get("sshd"), "192.0.2.1"))))
	if n := len(bans(t, s, jails)); n < 100 {
		t.Errorf("%d bans", n)
	}
	must(t, s.Close())
	equal(t, "files with room", files(t, dir), []string{"db", "db.20261122-120000"})
}

func TestReadOnly(t *testing.T) {
	ctx, jails, dir := context.Background(), testJails{}, tmpfs(t, "4m")
	path := filled(t, dir, 20)
	c := events(pipeline.EventBan, ban(jails.get("sshd"), "192.0.2.1"))
	remount := func(flags uintptr) {
		t.Helper()
		must(t, unix.Mount("", dir, "", unix.MS_REMOUNT|flags, ""))
	}
	remount(unix.MS_RDONLY)
	s := open(t, Config{Path: path})
	if !errors.Is(s.Fault(), ErrReadOnly) || !strings.Contains(s.Fault().Error(), "ReadWritePaths="+dir) {
		t.Errorf("fault: %v", s.Fault())
	}
	equal(t, "bans", len(bans(t, s, jails)), 20)
	if err := s.Save(ctx, c); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Save: %v", err)
	}
	none := open(t, Config{Path: filepath.Join(dir, "none")})
	if !errors.Is(none.Fault(), ErrReadOnly) {
		t.Errorf("fault of a new file: %v", none.Fault())
	}
	equal(t, "bans of no file", len(bans(t, none, jails)), 0)
	remount(0)
	must(t, s.Save(ctx, c))
	must(t, none.Save(ctx, c))
	equal(t, "bans when it can be written", len(bans(t, s, jails))+len(bans(t, none, jails)), 22)
	must(t, s.Close())
	must(t, none.Close())
}
