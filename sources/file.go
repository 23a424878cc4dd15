package sources

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

const (
	sweepEvery  = 250 * time.Millisecond // all names and sizes are looked at
	rescanEvery = 2 * time.Second        // the patterns are expanded
	holdOld     = 5 * time.Second        // without a write, then a rotated file is closed
)

// Files follows any number of files, in one goroutine and through one inotify
// instance. See the package comment for how. It runs until ctx is done; a file
// that cannot be read is logged and tried again.
//
// The batches of different files come mixed, those of one file in order. A batch's
// End is where to begin after a restart, given back as Start.Position: the whole
// truth about the input, late writers to rotated files included.
type Files struct {
	// Patterns returns the files to follow: absolute names or patterns of
	// Python's glob. It is asked at the start, at each Rescan and every two
	// seconds; a file that is in no pattern any more is let go.
	Patterns func() []string

	// Open is asked, in Run's goroutine, when a file is found: the input that its
	// lines belong to and where to begin. atStart says that it was there when Run
	// began; one that came later is usually read from its head, whatever is set
	// for the others. With ok false the file is not followed, until a later scan.
	Open func(path string, atStart bool) (in *pipeline.Input, start Start, ok bool)

	Log *slog.Logger // nil: nothing is logged

	// Poll, where it is not 0, is the time between two looks at every file in
	// place of inotify, for file systems that do not announce changes.
	Poll time.Duration

	mu       sync.Mutex
	asked    []request         // of CatchUp
	problems map[string]string // by name, of files that cannot be read

	poked    atomic.Bool
	notifier atomic.Pointer[notifier]
}

// Start is where the reading of a file begins. The first of these that is set
// and can be done counts; the zero Start is the head.
type Start struct {
	// Position is the End of the last batch whose effects were kept, or what
	// fail2ban stored. It holds if the file is still the one, or one of the
	// rotated files beside it (perhaps compressed) is: then that one is read to
	// its end, those after it, and the file from its head. An empty Mark is none.
	Position pipeline.Position

	Tail bool // the end: only what is written from now on

	// FromNanos is the time (nanoseconds since the epoch) before which lines are
	// of no interest; At finds the time of a line without its end. The first line
	// that is not older is found by halving the file. 0 or nil: not set.
	FromNanos int64
	At        func(line []byte) (atNanos int64, ok bool)
}

var _ pipeline.Source = (*Files)(nil)

// Rescan makes a running Run ask Patterns again at once. Any goroutine may call it.
func (f *Files) Rescan() {
	f.poked.Store(true)
	if n := f.notifier.Load(); n != nil {
		n.interrupt()
	}
}

// Run follows the files until ctx is done, which is no error.
func (f *Files) Run(ctx context.Context, feed *pipeline.Feed) error {
	log := f.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	polling := f.Poll > 0
	notify, err := openNotifier(polling)
	if err != nil && !polling {
		// No instance left (fs.inotify.max_user_instances): slower, but nothing is lost.
		log.Warn("inotify is not available, files are polled", "error", err)
		notify, err = openNotifier(true)
	}
	if err != nil {
		return err
	}
	defer notify.close()
	f.notifier.Store(notify)
	defer f.notifier.Store(nil)
	defer notify.endWith(ctx)()

	r := &follower{
		Files: f, log: log, feed: feed, notify: notify, every: sweepEvery,
		streams: map[string]*stream{}, dirs: map[string]int32{}, watches: map[int32]*watch{},
	}
	if polling {
		r.every = f.Poll
	}
	defer r.closeAll()
	r.rescan()
	r.running = true
	return r.loop(ctx)
}

// follower is the state of one Run.
type follower struct {
	*Files
	log    *slog.Logger
	feed   *pipeline.Feed
	notify *notifier
	every  time.Duration // between sweeps

	running  bool // the first scan is over
	patterns []string
	streams  map[string]*stream // by name
	queue    []*stream          // with something to read, each once
	dirs     map[string]int32   // watched directories
	watches  map[int32]*watch
	stale    bool // a name came or went that a pattern may match
	lates    []*late

	listed map[string][]string // directories' names, for files that are begun in one turn

	nextSweep, nextRescan time.Time
}

// watch is what an inotify watch is for: a directory or the inode of files.
type watch struct {
	dir     string
	streams []*stream
}

// loop waits, and reads one block of each file that has something to read, in
// turn, so that no file waits for the whole of another.
func (r *follower) loop(ctx context.Context) error {
	for ctx.Err() == nil {
		r.upkeep()
		if len(r.queue) > 0 || len(r.lates) > 0 {
			r.notify.poll(r.event)
		} else if err := r.wait(); err != nil {
			return err
		}
		turn := len(r.queue)
		for _, s := range r.queue[:turn] {
			s.queued = false
			more, err := r.step(ctx, s)
			if err != nil {
				return nil // ctx is done
			}
			if more {
				r.enqueue(s)
			}
		}
		r.queue = slices.Delete(r.queue, 0, turn)
		r.listed = nil
		if r.catchUp(ctx) != nil {
			return nil
		}
	}
	return nil
}

// names is dirNames for the files that are begun in one turn: a thousand files in
// one directory do not list it a thousand times.
func (r *follower) names(dir string) []string {
	if r.listed == nil {
		r.listed = map[string][]string{}
	}
	names, ok := r.listed[dir]
	if !ok {
		names = dirNames(dir)
		r.listed[dir] = names
	}
	return names
}

// wait blocks until an event, the next sweep, a Rescan or the end of the context.
// The latter two make their state known before they move the deadline, and here it
// is the deadline that is set first and the state that is looked at before the
// next wait: neither is missed.
func (r *follower) wait() error {
	if r.poked.Load() {
		return nil
	}
	woken, err := r.notify.wait(r.event)
	if woken {
		r.notify.wakeAt(r.nextSweep)
	}
	return err
}

// upkeep does what is due beside reading.
func (r *follower) upkeep() {
	now := time.Now()
	if now.After(r.nextRescan) || r.poked.Swap(false) {
		r.stale = true
	}
	if r.stale {
		r.rescan()
		r.takeUp()
		r.nextRescan = now.Add(rescanEvery)
	}
	if !now.Before(r.nextSweep) {
		for _, s := range r.streams {
			r.look(s, now)
		}
		r.nextSweep = time.Now().Add(r.every)
		r.notify.wakeAt(r.nextSweep)
	}
}

// event takes one event in. It reads nothing itself.
func (r *follower) event(e event) {
	if e.mask&unix.IN_Q_OVERFLOW != 0 {
		r.log.Warn("inotify queue overflow, all files are looked at")
		r.stale = true
		for _, s := range r.streams {
			s.check = true
			r.enqueue(s)
		}
		return
	}
	w := r.watches[e.wd]
	if w == nil {
		return // of a watch that is gone
	}
	for _, s := range w.streams {
		r.enqueue(s)
	}
	if w.dir != "" {
		r.dirEvent(w.dir, e)
	}
	if e.mask&unix.IN_IGNORED != 0 {
		delete(r.watches, e.wd)
	}
}

func (r *follower) dirEvent(dir string, e event) {
	if e.mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF|unix.IN_IGNORED) != 0 {
		r.notify.unwatch(e.wd)
		if r.dirs[dir] == e.wd {
			delete(r.dirs, dir)
		}
		r.stale = true
		return
	}
	path := filepath.Join(dir, string(e.name))
	if s := r.streams[path]; s != nil {
		s.check = true
		r.enqueue(s)
		return
	}
	for _, s := range r.watches[e.wd].streams {
		s.check = true // its symlink leads here
	}
	if e.mask&(unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_ATTRIB) != 0 && wants(r.patterns, path) {
		r.stale = true
	}
}

func (r *follower) enqueue(s *stream) {
	if !s.queued {
		s.queued = true
		r.queue = append(r.queue, s)
	}
}

// rescan expands the patterns, watches their directories, takes up what is new
// and lets go what is in no pattern any more.
func (r *follower) rescan() {
	r.stale = false
	r.patterns = r.Patterns()
	wanted, dirs := map[string]bool{}, map[string]bool{}
	// A directory is watched before what is in it is listed: what appears in
	// between is seen by one or the other. Directories that the watching reveals
	// go through the same again.
	for fresh := true; fresh; {
		fresh = false
		clear(wanted)
		for _, pattern := range r.patterns {
			names, in := expand(pattern)
			for _, dir := range in {
				if !dirs[dir] {
					dirs[dir], fresh = true, true
					r.watchDir(dir)
				}
			}
			for _, name := range names {
				wanted[name] = true
			}
		}
	}
	for path := range wanted {
		if r.streams[path] == nil {
			r.take(path)
		}
	}
	for path, s := range r.streams {
		if !wanted[path] && (len(s.segs) == 0 || !wants(r.patterns, path)) {
			r.drop(s)
		}
	}
	for dir, wd := range r.dirs {
		if w := r.watches[wd]; !dirs[dir] && (w == nil || len(w.streams) == 0) {
			r.notify.unwatch(wd)
			delete(r.dirs, dir)
			delete(r.watches, wd)
		}
	}
}

// watchDir watches a directory, or makes sure that its watch is on the directory
// that has the name now.
func (r *follower) watchDir(dir string) *watch {
	wd, err := r.notify.watchDir(dir)
	if err != nil || wd < 0 {
		if err != nil && !errors.Is(err, unix.ENOENT) {
			r.log.Warn("directory is not watched, only polled", "error", err)
		}
		return nil
	}
	if old, ok := r.dirs[dir]; ok && old != wd {
		r.notify.unwatch(old)
		delete(r.watches, old)
	}
	r.dirs[dir] = wd
	if r.watches[wd] == nil {
		r.watches[wd] = &watch{dir: dir}
	}
	return r.watches[wd]
}

// watchInode watches what is written to an open file of a stream.
func (r *follower) watchInode(s *stream, g *segment) {
	wd, err := r.notify.watchInode(g.file)
	if err != nil {
		r.log.Warn("file is not watched, only polled", "file", g.path, "error", err)
		return
	}
	if g.wd = wd; wd < 0 {
		return
	}
	w := r.watches[wd]
	if w == nil {
		w = &watch{}
		r.watches[wd] = w
	}
	w.streams = append(w.streams, s)
}

// unwatch ends a stream's part in the watch of one of its files.
func (r *follower) unwatch(s *stream, g *segment) {
	w := r.watches[g.wd]
	if w == nil {
		return
	}
	if i := slices.Index(w.streams, s); i >= 0 {
		w.streams = slices.Delete(w.streams, i, i+1)
	}
	if len(w.streams) == 0 && w.dir == "" {
		r.notify.unwatch(g.wd)
		delete(r.watches, g.wd)
	}
}

func (r *follower) closeAll() {
	for _, s := range r.streams {
		for _, g := range s.segs {
			g.close()
		}
	}
	for _, l := range r.lates {
		l.close()
	}
}
