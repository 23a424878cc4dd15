package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// holder is a process that has the database open.
type holder struct {
	pid     int
	command string // first words of its command line, printable
}

type holderList []holder

// servers says whether one of them is a fail2ban or f2bpipe server: they keep
// in memory what they think the file says. Others (a backup) are in nobody's way.
func (l holderList) servers() bool { return l.has("fail2ban-server") || l.has("f2bpipe") }

// has says whether one of them is the program of that name, or an interpreter
// that runs it.
func (l holderList) has(name string) bool {
	for _, h := range l {
		for _, word := range strings.Fields(h.command) {
			if filepath.Base(word) == name {
				return true
			}
		}
	}
	return false
}

// String says who they are and how they are stopped.
func (l holderList) String() string {
	if len(l) == 0 {
		return "it is open in no process that can be seen"
	}
	names := make([]string, len(l))
	for i, h := range l {
		names[i] = fmt.Sprintf("%q (pid %d)", h.command, h.pid)
	}
	s := "it is open in " + strings.Join(names, ", ")
	if l.has("fail2ban-server") {
		return s + "; stop it with: systemctl disable --now fail2ban, or fail2ban-client stop"
	}
	return fmt.Sprintf("%s; stop it, or end it with: kill %d", s, l[0].pid)
}

// holders returns the other processes that have the file at path open, as far
// as /proc shows them: fail2ban keeps no lock between two transactions. The
// files of other users' processes are seen only by root.
func holders(path string) holderList {
	var file syscall.Stat_t
	if syscall.Stat(path, &file) != nil {
		return nil
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	var list holderList
	for _, link := range links {
		pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
		if pid == os.Getpid() || len(list) > 0 && list[len(list)-1].pid == pid {
			continue
		}
		// The name first: to look at a file of a dead NFS server would not return.
		if to, err := os.Readlink(link); err != nil || filepath.Base(to) != filepath.Base(path) {
			continue
		}
		var st syscall.Stat_t
		if syscall.Stat(link, &st) == nil && st.Dev == file.Dev && st.Ino == file.Ino {
			list = append(list, holder{pid, commandLine(pid)})
		}
	}
	return list
}

// commandLine returns the first three words of a process's command line.
func commandLine(pid int) string {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	words := bytes.SplitN(line, []byte{0}, 4)
	return strings.ToValidUTF8(strings.TrimSpace(string(bytes.Join(words[:min(3, len(words))], []byte{' '}))), "?")
}
