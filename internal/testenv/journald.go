package testenv

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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
	d.until("the socket", func() bool {
		select {
		case exit := <-exited:
			exited <- exit
			absent(t, required, "no journald of its own: %v %s", exit, said.String())
		default:
		}
		var err error
		d.conn, err = net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
		return err == nil
	})
	t.Cleanup(func() { _ = d.conn.Close() })
	// That it has opened this file is the last that it does before it takes signals.
	d.until("the file in /run", func() bool {
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
