package logtarget

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of the queue, in bytes. Above MaxLossy lines that may be lost are
// dropped; above MaxKept every line is.
const (
	MaxLossy = 1 << 20
	MaxKept  = 64 << 20
)

// maxSpare is the longest queue whose memory is kept for the next, in lines.
const maxSpare = 8192

// retryEvery is the time between two tries of a target that fails.
const retryEvery = 2 * time.Second

// Config says where a log begins. The zero Config is fail2ban's default:
// INFO, to STDERR.
type Config struct {
	Target        string // as logtarget in fail2ban.conf; empty: STDERR
	Level         string // empty: INFO
	SyslogSocket  string // empty or auto: /dev/log
	Stdout        io.Writer
	Stderr        io.Writer // both nil: the process's
	JournalSocket string    // empty: journald's
	// Open opens a target that is a file, for appending; nil: as it is.
	Open func(path string) (*os.File, error)
}

// Log is a log in fail2ban's format. All methods are safe for concurrent use;
// none but Close waits for a target, and SetTarget and Reopen open a file.
type Log struct {
	cfg   Config
	level atomic.Int64

	mu    sync.Mutex
	queue []record
	spare []record // memory for the queue after this one
	bytes int      // of the queue
	spec  spec
	sock  string // syslogsocket as it was set
	sink  sink   // of the next line
	ended bool

	writing sync.Mutex // held while lines are written; taken before mu
	trouble string     // why the target does not take lines; guarded by mu

	start   sync.Once // of the goroutine, with the first line
	wake    chan struct{}
	quit    chan struct{}
	done    chan struct{}
	dropped atomic.Int64
	lost    atomic.Int64
}

// New returns a log. Its goroutine starts with the first line; Close ends it. A
// target that cannot be written is no error here: the lines are kept, and it is
// tried again.
func New(cfg Config) (*Log, error) {
	if cfg.Stdout == nil {
		cfg.Stdout = os.Stdout
	}
	if cfg.Stderr == nil {
		cfg.Stderr = os.Stderr
	}
	if cfg.JournalSocket == "" {
		cfg.JournalSocket = "/run/systemd/journal/socket"
	}
	if cfg.Target == "" {
		cfg.Target = "STDERR"
	}
	if cfg.Level == "" {
		cfg.Level = "INFO"
	}
	if cfg.SyslogSocket == "" {
		cfg.SyslogSocket = "auto"
	}
	l := &Log{cfg: cfg, sock: cfg.SyslogSocket, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	if err := l.SetLevel(cfg.Level); err != nil {
		return nil, err
	}
	s, err := parseSpec(cfg.Target)
	if err != nil {
		return nil, err
	}
	l.spec, l.sink = s, l.open(s)
	return l, nil
}

// open makes the sink of a target. Nothing is opened yet.
func (l *Log) open(s spec) sink {
	switch s.kind {
	case toStdout:
		return &stream{layout: s.layout, w: l.cfg.Stdout}
	case toStderr:
		return &stream{layout: s.layout, w: l.cfg.Stderr}
	case toSyslog:
		path := l.sock
		if path == "auto" {
			path = "/dev/log"
		}
		return &datagrams{path: path, encode: s.syslogLine}
	case toJournal:
		return &datagrams{path: l.cfg.JournalSocket, encode: s.journalEntry}
	}
	return &file{layout: s.layout, path: s.name, by: l.cfg.Open}
}

// Lossy says of a line that it may be dropped where lines come faster than the
// target takes them.
type Lossy bool

// Print puts a line of a logger ("fail2ban.actions") into the log, if the level
// is wanted. The text is written as it is: what comes from outside has gone
// through ID, Jail or Text. It returns whether the line is kept.
func (l *Log) Print(level Level, logger string, lossy Lossy, text string) bool {
	if !l.Enabled(level) {
		return false
	}
	r := record{at: time.Now(), level: level, name: logger, text: text, lossy: bool(lossy)}
	l.mu.Lock()
	room := MaxKept
	if lossy {
		room = MaxLossy
	}
	full := l.ended || l.bytes+r.size() > room
	if !full {
		l.queue = append(l.queue, r)
		l.bytes += r.size()
	}
	l.mu.Unlock()
	switch {
	case !full:
		l.start.Do(func() { go l.run() })
		l.signal()
	case bool(lossy):
		l.dropped.Add(1)
	default:
		l.lost.Add(1)
	}
	return !full
}

func (l *Log) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Room says whether a line that may be dropped would be kept now: whoever makes
// many of them saves himself the rest. One that has no room is counted.
func (l *Log) Room(level Level) bool {
	if !l.Enabled(level) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bytes >= MaxLossy {
		l.dropped.Add(1)
		return false
	}
	return true
}

// Enabled says whether lines of a level are wanted.
func (l *Log) Enabled(level Level) bool { return int64(level) >= l.level.Load() }

// Dropped returns the number of lines that were dropped because they may be.
func (l *Log) Dropped() int64 { return l.dropped.Load() }

// Lost returns the number of lines that were lost although they should not be:
// the target took none for so long that there was no room left.
func (l *Log) Lost() int64 { return l.lost.Load() }

// Trouble returns why the target does not take lines, or "".
func (l *Log) Trouble() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trouble
}

// Level returns the level in force; its String is the name.
func (l *Log) Level() Level { return Level(l.level.Load()) }

// SetLevel sets the least level that is written.
func (l *Log) SetLevel(text string) error {
	v, err := ParseLevel(text)
	if err == nil {
		l.level.Store(int64(v))
	}
	return err
}

// Target returns the target as it was set, without its options.
func (l *Log) Target() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.spec.name
}

// SetTarget changes the target, after what stands in the queue has gone to the
// one before. Where it cannot be opened the one before stays, and the error
// says why.
func (l *Log) SetTarget(text string) error {
	s, err := parseSpec(text)
	if err != nil {
		return err
	}
	return l.swap(func() (spec, sink) { return s, l.open(s) })
}

// SyslogSocket returns what SYSLOG writes to, as it was set.
func (l *Log) SyslogSocket() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sock
}

// SetSyslogSocket sets the socket of the target SYSLOG; auto is /dev/log.
func (l *Log) SetSyslogSocket(path string) error {
	l.mu.Lock()
	before := l.sock
	l.sock = path
	s := l.spec
	l.mu.Unlock()
	if s.kind != toSyslog {
		return nil
	}
	err := l.swap(func() (spec, sink) { return s, l.open(s) })
	if err != nil {
		l.mu.Lock()
		l.sock = before
		l.mu.Unlock()
	}
	return err
}

// Reopen opens the target again, for a file that was moved away. rolled says
// that it is a file.
func (l *Log) Reopen() (rolled bool, err error) {
	l.mu.Lock()
	s := l.spec
	l.mu.Unlock()
	err = l.swap(func() (spec, sink) { return s, l.open(s) })
	return s.kind == toFile, err
}

// swap replaces the target by one that can be opened.
func (l *Log) swap(next func() (spec, sink)) error {
	s, to := next()
	if o, ok := to.(interface{ open() error }); ok {
		if err := o.open(); err != nil {
			return fmt.Errorf("open log target %s: %w", s.name, err)
		}
	}
	l.flush()
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sink.close()
	l.spec, l.sink, l.trouble = s, to, ""
	l.signal() // for what the target before did not take
	return nil
}

// Close writes what stands in the queue, for a second at most, and ends the log.
func (l *Log) Close() {
	l.mu.Lock()
	ended := l.ended
	l.ended = true
	l.mu.Unlock()
	if !ended {
		l.start.Do(func() { close(l.done) }) // no line came: nothing runs
		close(l.quit)
	}
	late := time.NewTimer(time.Second)
	defer late.Stop()
	select {
	case <-l.done:
	case <-late.C: // a target that nobody reads: its goroutine ends with the process
	}
}

// run writes lines until the log is closed.
func (l *Log) run() {
	defer close(l.done)
	retry := time.NewTicker(retryEvery)
	defer retry.Stop()
	for {
		select {
		case <-l.wake:
			if l.Trouble() != "" {
				continue // every line would be a try
			}
		case <-retry.C:
		case <-l.quit:
			l.flush()
			l.writing.Lock()
			l.sink.close()
			l.writing.Unlock()
			return
		}
		l.flush()
	}
}

// flush writes what stands in the queue; what the target does not take goes
// back to its front.
func (l *Log) flush() {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	list, to := l.queue, l.sink
	l.queue, l.spare, l.bytes = l.spare, nil, 0
	l.mu.Unlock()
	if len(list) == 0 {
		return
	}
	n, err := to.write(list)
	l.mu.Lock()
	first := err != nil && l.trouble == "" && l.spec.kind != toStderr
	name := l.spec.name
	l.trouble = ""
	if err != nil {
		l.trouble = err.Error()
		l.putBack(list[n:])
	} else if cap(list) <= maxSpare {
		clear(list) // their texts
		l.spare = list[:0]
	}
	l.mu.Unlock()
	if first {
		fmt.Fprintf(l.cfg.Stderr, "f2bpipe: log target %s: %s; the lines are kept, and it is tried again\n", Text(name), Text(err.Error()))
	}
}

// putBack puts lines to the queue's front that were not written, those that may
// be dropped only as far as there is room. mu is held.
func (l *Log) putBack(rest []record) {
	kept := make([]record, 0, len(rest)+len(l.queue))
	bytes := l.bytes
	for _, r := range rest {
		switch {
		case r.lossy && bytes+r.size() > MaxLossy:
			l.dropped.Add(1)
		case bytes+r.size() > MaxKept:
			l.lost.Add(1)
		default:
			kept, bytes = append(kept, r), bytes+r.size()
		}
	}
	l.queue, l.bytes = append(kept, l.queue...), bytes
}
