package service

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A pidFile holds the number of the process that runs, in one line.
type pidFile struct{ path string }

// takePidFile writes the process's number. One that another process of a
// server has written, and that still runs, is an error; what is left of one that
// has gone, or whose number is now another program's, is written over.
func takePidFile(path string) (*pidFile, error) {
	if path == "" {
		return nil, nil
	}
	if text, err := os.ReadFile(path); err == nil {
		if pid := serverOf(string(text)); pid != 0 {
			return nil, fmt.Errorf("pid file %s: process %d runs a server already: stop it, or give this one another pid file", path, pid)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make folder of pid file: %w", err)
	}
	// Not through what somebody has put there: a link, or a file that others may write.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove stale pid file: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make pid file: %w", err)
	}
	_, err = fmt.Fprintln(f, os.Getpid())
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("write pid file: %w", err)
	}
	return &pidFile{path}, nil
}

// serverOf returns the number in a pid file where a server of that number runs
// that is not this process; 0 where none does.
func serverOf(text string) int {
	pid, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || pid <= 0 || pid == os.Getpid() {
		return 0
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return 0
	}
	// Python's server has its interpreter for the first word.
	for _, word := range bytes.SplitN(line, []byte{0}, 3) {
		switch filepath.Base(string(word)) {
		case "fail2ban-server", "f2bpipe":
			return pid
		}
	}
	return 0
}

// release removes the file, unless another process has written its own.
func (p *pidFile) release() error {
	if p == nil {
		return nil
	}
	text, err := os.ReadFile(p.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && strings.TrimSpace(string(text)) != strconv.Itoa(os.Getpid()) {
		return nil
	}
	if err := os.Remove(p.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove pid file: %w", err)
	}
	return nil
}
