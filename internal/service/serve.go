package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/user"
	"strconv"
	"sync"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/control"
)

// ErrRestart is what Run returns after a client has asked for a restart in
// place: whoever runs the service begins anew, in the same process.
var ErrRestart = errors.New("restart asked for")

// doors are the sockets of a service.
type doors struct {
	control net.Listener
	status  net.Listener // nil: none
	pid     *pidFile     // nil: none
}

// openDoors listens, and writes the pid file.
func (s *Service) openDoors(ctx context.Context) (*doors, error) {
	d := &doors{}
	var err error
	if d.control, err = (control.Socket{Path: s.socket}).Listen(ctx); err != nil {
		return nil, err
	}
	if s.cfg.StatusSocket != "" {
		socket := control.Socket{Path: s.cfg.StatusSocket}
		if socket.GID, err = groupID(s.cfg.StatusGroup); err == nil {
			d.status, err = socket.Listen(ctx)
		}
	}
	if err == nil {
		d.pid, err = takePidFile(s.cfg.PidFile)
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *doors) close() error {
	err := errors.Join(d.control.Close(), d.pid.release())
	if d.status != nil {
		err = errors.Join(err, d.status.Close())
	}
	return err
}

// groupID returns the number of a group by name or number; 0 for none.
func groupID(name string) (int, error) {
	if name == "" {
		return 0, nil
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 0 {
		return n, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("group of the status socket: %w", err)
	}
	return strconv.Atoi(g.Gid)
}

// runs says that the service answers.
func (s *Service) runs() {
	s.log.Info("service runs", "socket", s.socket)
	if s.cfg.Ready != nil {
		s.cfg.Ready()
	}
}

// serveDoors answers on the sockets until ctx is done.
func (s *Service) serveDoors(ctx context.Context, d *doors, first *opening) error {
	var serving sync.WaitGroup
	var statusErr error
	if d.status != nil {
		status := control.StatusServer(s.dispatcher(), s.log)
		status.Handler = lateHandler{first, status.Handler}
		serving.Go(func() { statusErr = status.Serve(ctx, d.status) })
	}
	server := control.Server{Handler: first, Log: s.log}
	err := server.Serve(ctx, d.control)
	serving.Wait()
	return errors.Join(err, statusErr)
}

func (s *Service) dispatcher() *control.Dispatcher {
	return &control.Dispatcher{Verbs: verbs{s}, ReadVerbs: []string{VerbStatus, VerbBanned}}
}

func (s *Service) serve(ctx context.Context, l net.Listener) error {
	server := control.Server{Handler: s.dispatcher(), Log: s.log}
	return server.Serve(ctx, l)
}

// statusDoor takes the read-only socket from the configuration where the caller
// has not named one.
func (s *Service) statusDoor(m *config.Main) {
	if s.cfg.StatusSocket == "" {
		s.cfg.StatusSocket = m.Options["statussocket"].Text
	}
	if s.cfg.StatusGroup == "" {
		s.cfg.StatusGroup = m.Options["statusgroup"].Text
	}
}

// Stop implements control.Lifecycle. It returns when the jails have stopped and
// their bans are out of the kernel, as far as they go; the process ends once
// the reply is written.
func (v verbs) Stop(ctx context.Context) error {
	v.stopped.Store(true)
	return v.finish(ctx)
}

// restart ends Run with ErrRestart, as Stop does.
func (v verbs) restart(ctx context.Context) error {
	v.again.Store(true)
	return v.finish(ctx)
}

func (s *Service) finish(ctx context.Context) error {
	s.stop()
	select {
	case <-s.down:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
