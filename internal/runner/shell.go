package runner

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Result is what became of a command that was run.
type Result struct {
	OK       bool   `json:"ok"`
	Exit     int    `json:"exit,omitempty"` // its status; -1: killed
	TimedOut bool   `json:"timed_out,omitempty"`
	Absent   bool   `json:"absent,omitempty"` // a Python action has no such method
	Output   string `json:"output,omitempty"` // the beginning of what it wrote to stderr, else to stdout
	Script   string `json:"script,omitempty"` // where it failed
}

const (
	// openGrace is the time between SIGTERM and SIGKILL, and that for which a
	// process that ended may leave its output open.
	openGrace = time.Second
	keepBytes = 4 << 10 // of output
)

// shell runs a script as fail2ban does: by /bin/sh -c, in a session and process
// group of its own, that is ended at the timeout or when ctx is done.
func shell(ctx context.Context, text string, args []string, timeout time.Duration) Result {
	deadline, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(deadline, "/bin/sh", append([]string{"-c", text}, args...)...)
	// The shell dies with us. What it has started may be a daemon's restart.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	var out, errOut head
	cmd.Stdout, cmd.Stderr = &out, &errOut
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = openGrace
	err := cmd.Start()
	if err == nil {
		err = cmd.Wait()
	}
	if deadline.Err() != nil && cmd.Process != nil {
		// The shell may have ended at the SIGTERM, and what it has started not.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	r := Result{OK: err == nil || errors.Is(err, exec.ErrWaitDelay) && deadline.Err() == nil}
	if r.OK {
		return r
	}
	r.Output, r.Script = strings.TrimSpace(errOut.String()), text
	if r.Output == "" {
		r.Output = strings.TrimSpace(out.String())
	}
	var exit *exec.ExitError
	switch {
	case deadline.Err() != nil:
		r.Exit, r.TimedOut = -1, true
	case errors.As(err, &exit):
		r.Exit = exit.ExitCode()
	default:
		r.Exit, r.Output = -1, fmt.Sprintf("start /bin/sh: %v", err)
	}
	return r
}

// head keeps the beginning of what is written.
type head struct{ text []byte }

func (h *head) Write(p []byte) (int, error) {
	h.text = append(h.text, p[:min(len(p), keepBytes-len(h.text))]...)
	return len(p), nil
}

func (h *head) String() string { return string(h.text) }
