package runner

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

//go:embed host.py
var hostScript string

// ErrNoPython is the error of a Python action where no Python is.
var ErrNoPython = errors.New("it is written in Python, and there is no python3")

// FindPython returns the path of python3; Debian's first, which has the modules
// that packages install.
func FindPython() (string, error) {
	const debian = "/usr/bin/python3"
	if _, err := os.Stat(debian); err == nil {
		return debian, nil
	}
	path, err := exec.LookPath("python3")
	if err != nil {
		return "", ErrNoPython
	}
	return path, nil
}

// host is a Python process with one action in it.
type host struct {
	cmd      *exec.Cmd
	requests io.WriteCloser
	answers  *bufio.Reader
	stderr   *tail
	once     sync.Once
}

// maxAnswer bounds a line of a host's.
const maxAnswer = 64 << 10

// startHost starts a host; the first request it is sent makes the action.
func startHost() (*host, error) {
	python, err := FindPython()
	if err != nil {
		return nil, err
	}
	inR, inW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, inR.Close(), inW.Close())
	}
	h := &host{requests: inW, answers: bufio.NewReaderSize(outR, maxAnswer), stderr: new(tail)}
	h.cmd = exec.Command(python, "-c", hostScript, "3", "4")
	h.cmd.ExtraFiles = []*os.File{inR, outW}
	h.cmd.Stdout, h.cmd.Stderr = h.stderr, h.stderr
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	h.cmd.WaitDelay = openGrace
	err = h.cmd.Start()
	inR.Close()
	outW.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", python, err), inW.Close(), outR.Close())
	}
	go func() {
		_ = h.cmd.Wait()
		outR.Close()
	}()
	return h, nil
}

// end ends the process and what it has started.
func (h *host) end() {
	h.once.Do(func() {
		h.requests.Close()
		_ = syscall.Kill(-h.cmd.Process.Pid, syscall.SIGKILL)
	})
}

// answer is what a host says.
type answer struct {
	OK     bool   `json:"ok"`
	Absent bool   `json:"absent"`
	Error  string `json:"error"`
}

// ask sends a request and waits for its answer. An error ends the host's use.
func (h *host) ask(ctx context.Context, timeout time.Duration, request any) (a answer, timedOut bool, err error) {
	line, err := json.Marshal(request)
	if err != nil {
		return a, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	type reply struct {
		text []byte
		err  error
	}
	got := make(chan reply, 1) // room for the one reply: the goroutine never blocks
	go func() {
		if _, err := h.requests.Write(append(line, '\n')); err != nil {
			got <- reply{err: err}
			return
		}
		text, err := h.answers.ReadSlice('\n')
		got <- reply{text, err}
	}()
	select {
	case r := <-got:
		if r.err != nil {
			return a, false, fmt.Errorf("the python process ended: %w", r.err)
		}
		err := json.Unmarshal(r.text, &a)
		return a, false, err
	case <-ctx.Done():
		return a, true, context.Cause(ctx)
	}
}

// python carries out a call of a Python action. Its process is started, and the
// action with it, when it is first needed.
func (e *Engine) python(ctx context.Context, c Call, p *Program) (Result, error) {
	e.mu.Lock()
	h := e.hosts[c.Digest]
	e.mu.Unlock()
	if h == nil {
		if c.Phase == Stop {
			return Result{OK: true}, nil
		}
		r, err := e.open(ctx, c, p)
		if c.Phase == Start || err != nil || !r.OK {
			return r, err
		}
		e.mu.Lock()
		h = e.hosts[c.Digest]
		e.mu.Unlock()
		if h == nil {
			return Result{}, os.ErrClosed
		}
	}
	if c.Phase == Start {
		return Result{OK: true}, nil // it runs, and started with its process
	}
	r := e.request(ctx, c, p, h, map[string]any{"method": c.Phase, "values": p.pythonValues(c.Values)})
	if c.Phase == Stop {
		e.drop(c.Digest, h)
	}
	return r, nil
}

// open starts the process of a Python action and makes the action.
func (e *Engine) open(ctx context.Context, c Call, p *Program) (Result, error) {
	h, err := startHost()
	if err != nil {
		return Result{Exit: -1, Output: err.Error(), Script: p.Python}, nil
	}
	e.mu.Lock()
	if e.closed || e.programs[c.Digest] == nil {
		e.mu.Unlock()
		h.end()
		return Result{}, os.ErrClosed
	}
	if e.hosts == nil {
		e.hosts = map[string]*host{}
	}
	e.hosts[c.Digest] = h
	e.mu.Unlock()
	r := e.request(ctx, c, p, h, map[string]any{"path": p.Python, "jail": p.Jail, "name": p.Name, "args": p.Props})
	if !r.OK {
		e.drop(c.Digest, h)
	}
	return r, nil
}

// request asks a host; one that does not answer in time is ended.
func (e *Engine) request(ctx context.Context, c Call, p *Program, h *host, request any) Result {
	h.stderr.reset()
	a, timedOut, err := h.ask(ctx, p.Timeout, request)
	if err != nil {
		e.drop(c.Digest, h)
		return Result{Exit: -1, TimedOut: timedOut, Output: strings.TrimSpace(err.Error() + "\n" + h.stderr.String()), Script: p.Python}
	}
	r := Result{OK: a.OK || a.Absent, Absent: a.Absent}
	if !r.OK {
		r.Exit, r.Script, r.Output = 1, p.Python, a.Error
		if r.Output == "" {
			r.Output = h.stderr.String()
		}
	}
	return r
}

// drop ends a host that is of no use any more.
func (e *Engine) drop(digest string, h *host) {
	e.mu.Lock()
	if e.hosts[digest] == h {
		delete(e.hosts, digest)
	}
	e.mu.Unlock()
	h.end()
}

// pythonValues returns the values of a call as a host reads them.
func (p *Program) pythonValues(values map[string]string) map[string]string {
	out := make(map[string]string, len(values))
	for k, v := range values {
		out[k] = cleanValue(v)
	}
	return out
}

// tail keeps the end of what is written.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - keepBytes; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}

func (t *tail) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = t.text[:0]
}
