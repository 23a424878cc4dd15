package service

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/internal/control"
)

// serverRuns adds to the error of a socket that a live server has who that is
// and how it is stopped.
func serverRuns(socket string, err error) error {
	if !errors.Is(err, control.ErrServerRunning) {
		return err
	}
	pid, command := peerOf(socket)
	if pid == 0 {
		return err
	}
	stop := "f2bpipe stop --socket " + socket
	if strings.Contains(command, "fail2ban-server") {
		stop = "systemctl disable --now fail2ban, or fail2ban-client -s " + socket + " stop"
	}
	return fmt.Errorf("%w: it is %q (pid %d); stop it with: %s", err, command, pid, stop)
}

// peerOf returns who listens on a unix socket (SO_PEERCRED, unix(7)): the
// process and the first words of its command line; 0 where that is not known.
func peerOf(socket string) (pid int, command string) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return 0, ""
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, ""
	}
	var peer *unix.Ucred
	if raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }) != nil || err != nil {
		return 0, ""
	}
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", peer.Pid))
	words := bytes.SplitN(line, []byte{0}, 4)
	return int(peer.Pid), strings.ToValidUTF8(strings.TrimSpace(string(bytes.Join(words[:min(3, len(words))], []byte{' '}))), "?")
}
