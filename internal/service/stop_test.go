package service

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// manager answers on a private bus as systemd does (org.freedesktop.systemd1(5)):
// the unit of a process, its job, the job's type. An empty job: there is none.
type manager struct {
	t   *testing.T
	pid uint32
	job string
}

func (m manager) listen() (address string) {
	path := filepath.Join(m.t.TempDir(), "private")
	l, err := net.Listen("unix", path)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if err := m.serve(conn); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
					m.t.Error(err)
				}
			}()
		}
	}()
	return "unix:path=" + path
}

// serve speaks the D-Bus protocol: a line for each step of the authentication, then messages.
func (m manager) serve(conn net.Conn) error {
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		answer := ""
		switch words := strings.Fields(strings.TrimLeft(line, "\x00")); {
		case words[0] == "BEGIN":
			return m.messages(r, conn)
		case words[0] == "NEGOTIATE_UNIX_FD":
			answer = "AGREE_UNIX_FD"
		case len(words) > 1:
			answer = "OK 0123456789abcdef0123456789abcdef"
		default:
			answer = "REJECTED EXTERNAL"
		}
		if _, err := io.WriteString(conn, answer+"\r\n"); err != nil {
			return err
		}
	}
}

func (m manager) messages(r io.Reader, w io.Writer) error {
	for {
		call, err := dbus.DecodeMessage(r)
		if err != nil {
			return err
		}
		reply := &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldReplySerial: dbus.MakeVariant(call.Serial()),
		}}
		if value, err := m.answer(call); err != nil {
			reply.Type, reply.Body = dbus.TypeError, []any{err.Error()}
			reply.Headers[dbus.FieldErrorName] = dbus.MakeVariant("org.freedesktop.systemd1.NoUnitForPID")
		} else {
			reply.Body = []any{value}
		}
		reply.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(reply.Body...))
		if err := reply.EncodeTo(w, binary.LittleEndian); err != nil {
			return err
		}
	}
}

func (m manager) answer(call *dbus.Message) (any, error) {
	type jobOf struct {
		ID   uint32
		Path dbus.ObjectPath
	}
	member, path := call.Headers[dbus.FieldMember].Value(), call.Headers[dbus.FieldPath].Value()
	switch asked := fmt.Sprint(member, path, call.Body); asked {
	case fmt.Sprint("GetUnitByPID", "/org/freedesktop/systemd1", []any{m.pid}):
		return dbus.ObjectPath("/org/freedesktop/systemd1/unit/f2bpipe_2eservice"), nil
	case fmt.Sprint("Get", "/org/freedesktop/systemd1/unit/f2bpipe_2eservice", []any{"org.freedesktop.systemd1.Unit", "Job"}):
		if m.job == "" {
			return dbus.MakeVariant(jobOf{0, "/"}), nil
		}
		return dbus.MakeVariant(jobOf{7, "/org/freedesktop/systemd1/job/7"}), nil
	case fmt.Sprint("Get", "/org/freedesktop/systemd1/job/7", []any{"org.freedesktop.systemd1.Job", "JobType"}):
		return dbus.MakeVariant(m.job), nil
	default:
		return nil, fmt.Errorf("nobody can answer %s", asked)
	}
}

// TestUnitJob: what systemd is doing with our unit.
func TestUnitJob(t *testing.T) {
	for _, job := range []string{"stop", "restart", ""} {
		got, err := unitJobOver(t.Context(), manager{t, 4711, job}.listen(), 4711)
		if err != nil || got != job {
			t.Errorf("%q: got %q, %v", job, got, err)
		}
	}
	if _, err := unitJobOver(t.Context(), manager{t, 4711, "stop"}.listen(), 1); err == nil {
		t.Error("a process without a unit has a job")
	}
	if _, err := unitJobOver(t.Context(), "unix:path=/nonexistent", 1); err == nil {
		t.Error("nobody answers, and there is no error")
	}
}

// TestEnded: who ends the service decides whether its bans go with it.
func TestEnded(t *testing.T) {
	f := func(sig syscall.Signal, job string, jobErr error, want bool) {
		t.Helper()
		s := newService(Config{Log: slog.New(slog.DiscardHandler), UnitJob: func(context.Context) (string, error) { return job, jobErr }}, pipeline.WallClock())
		c := catchSignals()
		defer c.ignore()
		if sig != 0 {
			c.end <- sig
		}
		if why, remove := s.ended(c); remove != want {
			t.Errorf("%v, job %q, %v: %s: remove %v", sig, job, jobErr, why, remove)
		}
	}
	f(syscall.SIGTERM, "stop", nil, true)
	f(syscall.SIGTERM, "restart", nil, false)
	f(syscall.SIGTERM, "try-restart", nil, false)
	f(syscall.SIGTERM, "", nil, false)
	f(syscall.SIGTERM, "", errors.New("no systemd"), false)
	f(syscall.SIGINT, "", nil, true)
	f(0, "stop", nil, false)
}
