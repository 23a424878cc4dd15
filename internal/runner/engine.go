package runner

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
)

// MaxCommands is the number of commands that run at once.
const MaxCommands = 32

// maxDefinitions bounds what an engine holds, whoever sends it.
const maxDefinitions = 10_000

// ErrUnknown is the error of a definition that an engine does not hold.
var ErrUnknown = errors.New("the action's definition is not known")

// Call asks for one command.
type Call struct {
	Digest string            `json:"digest"`
	Phase  Phase             `json:"phase"`
	Family Family            `json:"family"`
	Values map[string]string `json:"values"` // by tag; of a capture: F-GROUP, with the group as the filter names it
}

// Runner holds definitions and runs their commands. All methods are safe for
// concurrent use.
type Runner interface {
	// Hold makes exactly these definitions known. missing are those that it does
	// not take: they are not what the configuration on disk says.
	Hold(ctx context.Context, definitions []Definition) (missing []Definition, err error)
	// Run runs a command and returns what became of it; commands of one action one
	// after the other. The error says that nobody knows, or that it was not run.
	Run(ctx context.Context, c Call) (Result, error)
	// Close ends what runs.
	Close() error
}

// Engine is a Runner in this process.
type Engine struct {
	// Options, if not nil, are where definitions come from: the configuration on disk.
	Options *config.Options

	mu       sync.Mutex
	programs map[string]*Program // by digest
	hosts    map[string]*host    // of Python actions, by digest
	queues   map[string]*queue   // by Definition.key
	slots    chan struct{}
	closed   bool
}

// queue lets the commands of one action run one after the other.
type queue struct {
	turn  chan struct{}
	users int
}

var _ Runner = (*Engine)(nil)

// Hold implements Runner.
func (e *Engine) Hold(_ context.Context, definitions []Definition) (missing []Definition, err error) {
	if len(definitions) > maxDefinitions {
		return nil, fmt.Errorf("%d actions, %d are the most", len(definitions), maxDefinitions)
	}
	var known map[string]bool
	if e.Options != nil {
		known = onDisk(*e.Options)
	}
	e.mu.Lock()
	held := e.programs
	e.mu.Unlock()
	programs := map[string]*Program{}
	var errs []error
	for _, d := range definitions {
		digest := d.Digest()
		if p := held[digest]; p != nil { // it was on disk once, and has still to be stopped
			programs[digest] = p
			continue
		}
		if known != nil && !known[digest] {
			missing = append(missing, d)
			continue
		}
		p, err := Compile(d)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		programs[digest] = p
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.programs = programs
	for digest, h := range e.hosts {
		if programs[digest] == nil {
			delete(e.hosts, digest)
			h.end()
		}
	}
	return missing, errors.Join(errs...)
}

// onDisk returns the digests of all actions of the configuration.
func onDisk(o config.Options) map[string]bool {
	tree, _ := config.Load(o)
	known := map[string]bool{}
	for i := range tree.Jails {
		j := &tree.Jails[i]
		for k := range j.Actions {
			d := Define(j.Name, &j.Actions[k])
			known[d.Digest()] = true
		}
	}
	return known
}

// Run implements Runner.
func (e *Engine) Run(ctx context.Context, c Call) (Result, error) {
	e.mu.Lock()
	p := e.programs[c.Digest]
	e.mu.Unlock()
	switch {
	case p == nil:
		return Result{}, ErrUnknown
	case !slices.Contains(phases, c.Phase) || c.Family >= Families:
		return Result{}, fmt.Errorf("no phase %q of family %d", c.Phase, c.Family)
	}
	done, err := e.enter(ctx, p.key())
	if err != nil {
		return Result{}, err
	}
	defer done()
	if p.Python != "" {
		return e.python(ctx, c, p)
	}
	text := p.Text(c.Phase, c.Family)
	if text == "" {
		return Result{OK: true}, nil
	}
	text, args := script(text, e.complete(ctx, text, c.Values))
	return shell(ctx, text, args, p.Timeout), nil
}

// enter waits for the action's turn and for a free slot.
func (e *Engine) enter(ctx context.Context, key string) (done func(), err error) {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil, os.ErrClosed
	}
	if e.slots == nil {
		e.slots, e.queues = make(chan struct{}, MaxCommands), map[string]*queue{}
	}
	q := e.queues[key]
	if q == nil {
		q = &queue{turn: make(chan struct{}, 1)}
		e.queues[key] = q
	}
	q.users++
	e.mu.Unlock()
	leave := func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if q.users--; q.users == 0 {
			delete(e.queues, key)
		}
	}
	select {
	case q.turn <- struct{}{}:
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
	select {
	case e.slots <- struct{}{}:
	case <-ctx.Done():
		<-q.turn
		leave()
		return nil, context.Cause(ctx)
	}
	return func() { <-e.slots; <-q.turn; leave() }, nil
}

// Close implements Runner: it ends the hosts of Python actions.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for digest, h := range e.hosts {
		delete(e.hosts, digest)
		h.end()
	}
	return nil
}

// lookupTimeout is how long a name may take that a tag asks for.
const lookupTimeout = 5 * time.Second

// complete adds the values that the network or the host knows.
func (e *Engine) complete(ctx context.Context, text string, values map[string]string) map[string]string {
	eachTag(text, func(name string) (string, bool) {
		if _, there := values[name]; there {
			return "", false
		}
		v := ""
		switch name {
		case "fq-hostname", "sh-hostname":
			v = hostname(ctx, name == "fq-hostname")
		case "ip-host":
			v = hostOf(ctx, values["ip"])
		default:
			return "", false
		}
		if values == nil {
			values = map[string]string{}
		}
		values[name] = v
		return "", false
	})
	return values
}

// hostOf returns the name of an address, and "None" as fail2ban where it has none.
func hostOf(ctx context.Context, ip string) string {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	names, err := net.DefaultResolver.LookupAddr(ctx, ip)
	if err != nil || len(names) == 0 {
		return "None"
	}
	return strings.TrimSuffix(names[0], ".")
}

// hostname returns the host's name, with its domain where one is known.
func hostname(ctx context.Context, full bool) string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	short, domain, _ := strings.Cut(name, ".")
	switch {
	case !full:
		return short
	case domain != "":
		return name
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	if canonical, err := net.DefaultResolver.LookupCNAME(ctx, name); err == nil && strings.Contains(canonical, ".") {
		if canonical = strings.TrimSuffix(canonical, "."); strings.HasPrefix(canonical, short+".") {
			return canonical
		}
	}
	return name
}
