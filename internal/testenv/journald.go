package testenv

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Journald is a systemd-journald of the test's own, in a mount namespace of its
// own, with nobody but the test to write to it.
type Journald struct {
	Dir string // of its journal files
	Pid int    // nsenter -t Pid -m sees its sockets, and Dir as /var/log/journal

	t    testing.TB
	conn *net.UnixConn
}

// journaldPatience is how long a journald may take for anything.
const journaldPatience = 20 * time.Second

// StartJournald starts a journald with files of 8 MB and as many as useMB
// allow. It ends with the test. F2BPIPE_REQUIRE_JOURNALD=1 makes its absence a
// failure.
func StartJournald(t testing.TB, useMB int) *Journald {
	t.Helper()
	const required = "F2BPIPE_REQUIRE_JOURNALD"
	if os.Getuid() != 0 {
		absent(t, required, "a journald of its own needs root")
	}
	base := t.TempDir()
	d := &Journald{t: t, Dir: filepath.Join(base, "jlog")}
	if err := os.Mkdir(d.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf("[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\nSystemMaxFileSize=8M\nSystemMaxUse=%dM\nSystemKeepFree=1M\nReadKMsg=no\nAudit=no\nSplitMode=uid\n", useMB)
	if err := os.WriteFile(filepath.Join(base, "journald.conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "-m", "--propagation", "private", "bash", "-c", `set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /var/log/journal
mount --bind "$0/jlog" /var/log/journal
mount --bind "$0/journald.conf" /etc/systemd/journald.conf
exec /lib/systemd/systemd-journald`, base)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		absent(t, required, "no journald of its own: %v", err)
	}
	d.Pid = cmd.Process.Pid
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
	})
	socket := fmt.Sprintf("/proc/%d/root/run/systemd/journal/socket", d.Pid)
	// One that cannot work ends, before it has its socket or after.
	lives := func() {
		select {
		case exit := <-exited:
			exited <- exit
			absent(t, required, "no journald of its own: %v %s", exit, said.String())
		default:
		}
	}
	d.until("the socket", func() bool {
		lives()
		var err error
		d.conn, err = net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
		return err == nil
	})
	t.Cleanup(func() { _ = d.conn.Close() })
	// That it has opened this file is the last that it does before it takes signals.
	d.until("the file in /run", func() bool {
		lives()
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/root/run/log/journal/*/system.journal", d.Pid))
		return len(files) > 0
	})
	// Makes it write to Dir, and not to /run.
	if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	d.until("the journal file", func() bool { return len(d.Files("system.journal")) > 0 })
	return d
}

// until waits for something of the journald's.
func (d *Journald) until(what string, ok func() bool) {
	d.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(journaldPatience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			d.t.Fatalf("journald: %s did not come", what)
		}
	}
}

// Files returns its journal files whose names fit a pattern.
func (d *Journald) Files(pattern string) []string {
	files, _ := filepath.Glob(filepath.Join(d.Dir, "*", pattern))
	return files
}

// Send logs one entry as sshd by the native protocol.
func (d *Journald) Send(message string) {
	d.t.Helper()
	d.Native("PRIORITY=6\nSYSLOG_IDENTIFIER=sshd\nMESSAGE=" + message + "\n")
}

// Native sends an entry, FIELD=value lines, as this process.
func (d *Journald) Native(entry string) {
	d.t.Helper()
	if _, err := d.conn.Write([]byte(entry)); err != nil {
		d.t.Fatal(err)
	}
}

// Rotate makes journald begin new files, and waits until it has.
func (d *Journald) Rotate() {
	d.t.Helper()
	before := len(d.Files("system*.journal"))
	if err := syscall.Kill(d.Pid, syscall.SIGUSR2); err != nil {
		d.t.Fatal(err)
	}
	d.until("the rotated file", func() bool { return len(d.Files("system*.journal")) > before })
}

// As returns a command that runs in journald's mount namespace as a user.
func (d *Journald) As(uid int, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"-t", strconv.Itoa(d.Pid), "-m", "setpriv", fmt.Sprintf("--reuid=%d", uid), "--clear-groups"}, args...)...)
}

// A Program logs to a Journald as a process of its own: with its name, user and
// unit as journald finds them out.
type Program struct {
	t     testing.TB
	stdin io.WriteCloser
}

// program is what a Program runs: it sends each entry that it reads, FIELD=value
// joined by NULs, and lives until its stdin ends, so that journald can ask who
// it is.
const program = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect("/run/systemd/journal/socket")
for line in sys.stdin.buffer:
    s.send(line.replace(b"\0", b"\n"))
`

// Program starts a process with a name (_COMM) and a user, in a unit
// (_SYSTEMD_UNIT) unless that is empty. It ends with the test.
func (d *Journald) Program(name string, uid int, unit string) *Program {
	d.t.Helper()
	python, err := filepath.EvalSymlinks("/usr/bin/python3")
	if err != nil {
		absent(d.t, "F2BPIPE_REQUIRE_JOURNALD", "python3 is absent: %v", err)
	}
	binary, err := os.ReadFile(python)
	if err != nil {
		d.t.Fatal(err)
	}
	path := filepath.Join(d.t.TempDir(), name)
	if err := os.WriteFile(path, binary, 0o755); err != nil {
		d.t.Fatal(err)
	}
	for dir := filepath.Dir(path); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			d.t.Fatal(err)
		}
	}
	p := &Program{t: d.t}
	cmd := d.As(uid, path, "-c", program)
	cmd.Stderr = os.Stderr
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		d.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		_ = p.stdin.Close()
		_ = cmd.Wait()
	})
	if unit != "" {
		d.enter(unit, cmd.Process.Pid)
	}
	return p
}

// enter puts a process into a unit's control group.
func (d *Journald) enter(unit string, pid int) {
	d.t.Helper()
	entered := false
	for _, root := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup"} {
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil {
			continue
		}
		dir := filepath.Join(root, "system.slice", unit)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			absent(d.t, "F2BPIPE_REQUIRE_JOURNALD", "no control group: %v", err)
		}
		d.t.Cleanup(func() { _ = os.Remove(dir) }) // when the process, which ends before, has left it
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
			absent(d.t, "F2BPIPE_REQUIRE_JOURNALD", "no control group: %v", err)
		}
		entered = true
	}
	if !entered {
		absent(d.t, "F2BPIPE_REQUIRE_JOURNALD", "no control groups")
	}
}

// Log sends an entry: FIELD=value each.
func (p *Program) Log(fields ...string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, strings.Join(fields, "\x00")+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// Journalctl returns what journalctl prints of the journal for its arguments.
func (d *Journald) Journalctl(args ...string) string {
	d.t.Helper()
	out, _ := exec.Command("journalctl", append([]string{"--directory", d.Dir, "--output=cat", "--quiet"}, args...)...).Output()
	return string(out)
}
