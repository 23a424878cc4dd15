package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/f2bpipe/f2bpipe/internal/service"
)

// program is where this program stands, by the name that it was called by where
// that is the same file: fail2ban's own may have that name too. What has gone
// is still there for the process that runs it.
func program() string {
	own, err := os.Executable()
	if err != nil {
		return selfExe
	}
	there, err := os.Stat(own)
	if err != nil {
		return selfExe
	}
	if called, err := exec.LookPath(os.Args[0]); err == nil {
		if named, err := os.Stat(called); err == nil && os.SameFile(named, there) {
			return called
		}
	}
	return own
}

const selfExe = "/proc/self/exe"

// again begins this process anew after a service that was asked to restart,
// with the binary that stands there now: who watches over it sees the same
// process. Out of a sandbox there is no way, so that systemd begins it anew. Any
// other error, or none, it returns.
func again(err error, c *confinement) error {
	if !errors.Is(err, service.ErrRestart) {
		return err
	}
	if c != nil && c.inside && underSystemd() {
		os.Exit(restartStatus)
	}
	return fmt.Errorf("restart: %w", syscall.Exec(program(), os.Args, c.environ()))
}

// doorFlags are the flags of a service for who watches over it.
type doorFlags struct {
	PidFile      string `name:"pidfile" help:"Write the number of the process to this file." placeholder:"PATH" type:"path"`
	StatusSocket string `help:"A second socket, for who may only look (default: the configuration's statussocket, or none)." placeholder:"PATH" type:"path"`
	StatusGroup  string `help:"The group that may connect to it (default: the configuration's statusgroup, or root alone)." placeholder:"GROUP"`
}

func (f *doorFlags) over(cfg *service.Config) {
	cfg.PidFile, cfg.StatusSocket, cfg.StatusGroup = f.PidFile, f.StatusSocket, f.StatusGroup
}
