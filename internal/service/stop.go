package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
)

// What happens to our layout when the service ends. fail2ban's is always taken
// away: its elements have no end of their own.
//
//	f2bpipe stop, fail2ban-client stop     taken away
//	f2bpipe restart, of fail2ban's too     stays
//	SIGINT, at a terminal                  taken away
//	SIGTERM, systemd stops the unit        taken away (also when a package is removed)
//	SIGTERM, systemd restarts the unit     stays, and the next start reconciles it
//	SIGTERM from anybody else              stays: a supervisor's restart and its stop look alike
//	a crash, SIGKILL                       stays
//
// What stays ends by the kernel's timeouts; `f2bpipe stop` without a service
// takes it away.

// jobTimeout is how long systemd may take to answer what it is doing.
const jobTimeout = 2 * time.Second

// ended says why the service ends, once, after its context is done, and
// whether bans are taken out of the kernel for it.
func (s *Service) ended(c caught) (why string, remove bool) {
	if s.stopped.Load() {
		return "a command", true
	}
	if s.again.Load() {
		return "a command to restart", false
	}
	switch c.ending() {
	case syscall.SIGINT:
		return "SIGINT", true
	case syscall.SIGTERM:
		return s.terminated()
	}
	return "the caller", false
}

// terminated is ended for a SIGTERM.
func (s *Service) terminated() (why string, remove bool) {
	ask := s.cfg.UnitJob
	if ask == nil {
		if os.Getenv("INVOCATION_ID") == "" { // systemd.exec(5)
			return "SIGTERM", false
		}
		ask = unitJob
	}
	ctx, cancel := context.WithTimeout(context.Background(), jobTimeout)
	defer cancel()
	job, err := ask(ctx)
	switch {
	case err != nil:
		s.log.Warn("systemd does not say whether this is a stop or a restart: taken for a restart", "problem", err)
		return "SIGTERM", false
	case job == "":
		return "SIGTERM, but no job of systemd's", false
	}
	return "systemd's job " + job, job == "stop"
}

// unitJob asks systemd for the type of the job that our unit has: "stop",
// "restart", …; empty: none.
func unitJob(ctx context.Context) (string, error) {
	var errs []error
	for _, address := range []string{"unix:path=/run/systemd/private", systemBus} {
		job, err := unitJobOver(ctx, address, os.Getpid())
		if err == nil {
			return job, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// systemBus stands for the address of the system's message bus.
const systemBus = ""

// unitJobOver is unitJob over one bus: the private one to systemd itself, for
// root alone and there without a bus daemon, or the system's.
func unitJobOver(ctx context.Context, address string, pid int) (string, error) {
	conn, err := dialBus(ctx, address)
	if err != nil {
		return "", fmt.Errorf("connect to systemd: %w", err)
	}
	defer conn.Close()
	// org.freedesktop.systemd1(5).
	const name = "org.freedesktop.systemd1"
	var unit dbus.ObjectPath
	manager := conn.Object(name, "/org/freedesktop/systemd1")
	if err := manager.CallWithContext(ctx, name+".Manager.GetUnitByPID", 0, uint32(pid)).Store(&unit); err != nil {
		return "", fmt.Errorf("ask systemd for our unit: %w", err)
	}
	var job struct {
		ID   uint32
		Path dbus.ObjectPath
	}
	get := func(path dbus.ObjectPath, iface, property string, value any) error {
		var v dbus.Variant
		err := conn.Object(name, path).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, name+"."+iface, property).Store(&v)
		if err == nil {
			err = v.Store(value)
		}
		if err != nil {
			return fmt.Errorf("ask systemd for the %s of %s: %w", property, path, err)
		}
		return nil
	}
	if err := get(unit, "Unit", "Job", &job); err != nil || job.ID == 0 {
		return "", err
	}
	var kind string
	err = get(job.Path, "Job", "JobType", &kind)
	return kind, err
}

func dialBus(ctx context.Context, address string) (*dbus.Conn, error) {
	if address == systemBus {
		return dbus.ConnectSystemBus(dbus.WithContext(ctx))
	}
	conn, err := dbus.Dial(address, dbus.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	if err := conn.Auth(nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}
