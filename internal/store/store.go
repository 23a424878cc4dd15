package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// The names of databases that are no files.
const (
	None   = "None"     // fail2ban's dbfile = None: nothing is kept
	Memory = ":memory:" // kept until Close
)

const (
	// DefaultPurgeAge is fail2ban's dbpurgeage.
	DefaultPurgeAge = 24 * time.Hour
	// DefaultMaxMatches is fail2ban's dbmaxmatches.
	DefaultMaxMatches = 10
	// DefaultMaxBans is the number of bans that are read.
	DefaultMaxBans = pipeline.DefaultMaxBans
)

// Config says where and how a store keeps what it is given.
type Config struct {
	Path       string        // a file, Memory, or None (also "", "none")
	PurgeAge   time.Duration // bans older than this are history nobody needs; 0: DefaultPurgeAge
	MaxMatches int           // lines kept with a ban; negative: none; 0: DefaultMaxMatches
	MaxBans    int           // 0: DefaultMaxBans

	// Jails returns the jails that read an input: its position is stored for
	// each of them. nil: no positions are stored.
	Jails func(*pipeline.Input) []*pipeline.Jail

	Now func() time.Time // for the name of a file that is set aside; nil: time.Now
	Log *slog.Logger     // nil: nothing is logged
}

// Store is an open database. All methods are safe for concurrent use; each
// waits for the one transaction that is under way, readers only for its commit.
type Store struct {
	cfg  Config
	log  *slog.Logger
	path string // of the file itself, after symbolic links

	purgeAge   atomic.Int64
	maxMatches atomic.Int64

	mu     sync.Mutex // held while writing
	db     *sql.DB    // writes; nil: not ready
	file   *os.File   // for the change counter; see counter
	stamp  uint32     // change counter after our last transaction
	warned bool       // that somebody else writes
	// suspect is why the file must be replaced: damage seen while writing, which
	// a check on opening need not see. "": it need not.
	suspect string
	closed  bool

	reader atomic.Pointer[sql.DB] // nil: nothing can be read
	fault  atomic.Pointer[error]  // why the last Save or Open could not write
	aside  atomic.Pointer[string] // where a file was set aside
	took   atomic.Bool            // the file had last been written by fail2ban
	stale  atomic.Bool            // so it is, and our tables could not be emptied
}

var _ pipeline.Store = (*Store)(nil)

// Open opens the database of cfg and makes what is missing. A file that is
// damaged or foreign is set aside (see SetAside). Where the file cannot be
// written or its disk is full, Open returns a store all the same: it reads what
// there is, Fault says why, and Save tries again.
//
// The errors are ErrInUse, ErrNewer and that the path cannot be a database;
// they say what helps.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxBans <= 0 {
		cfg.MaxBans = DefaultMaxBans
	}
	if cfg.Path == "" || cfg.Path == "none" {
		cfg.Path = None
	}
	s := &Store{cfg: cfg, log: cfg.Log}
	s.SetPurgeAge(cfg.PurgeAge)
	s.SetMaxMatches(cfg.MaxMatches)
	if cfg.Path == None {
		return s, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.explain(s.connect(ctx))
	if errors.Is(err, ErrFull) || errors.Is(err, ErrReadOnly) {
		s.fault.Store(&err)
		s.disconnect()
		s.openReader(ctx)
		return s, nil
	}
	if err != nil {
		s.disconnect()
		return nil, err
	}
	return s, nil
}

// Path returns the path as it was configured, or None.
func (s *Store) Path() string { return s.cfg.Path }

// PurgeAge returns the age at which Purge removes bans.
func (s *Store) PurgeAge() time.Duration { return time.Duration(s.purgeAge.Load()) }

// SetPurgeAge changes it; 0: DefaultPurgeAge.
func (s *Store) SetPurgeAge(d time.Duration) {
	if d == 0 {
		d = DefaultPurgeAge
	}
	s.purgeAge.Store(int64(d))
}

// MaxMatches returns the number of lines that are kept with a ban; negative: none.
func (s *Store) MaxMatches() int { return int(s.maxMatches.Load()) }

// SetMaxMatches changes it; 0: DefaultMaxMatches.
func (s *Store) SetMaxMatches(n int) {
	if n == 0 {
		n = DefaultMaxMatches
	}
	s.maxMatches.Store(int64(n))
}

// Fault returns why nothing can be written at present, or nil.
func (s *Store) Fault() error {
	if p := s.fault.Load(); p != nil {
		return *p
	}
	return nil
}

// SetAside returns the path under which a damaged or foreign file was set
// aside since Open was called, or "".
func (s *Store) SetAside() string {
	if p := s.aside.Load(); p != nil {
		return *p
	}
	return ""
}

// Foreign says that the file had last been written by somebody else, fail2ban
// most likely, so that counts, sessions and our own positions were dropped.
func (s *Store) Foreign() bool { return s.took.Load() }

// Close ends the store. The database file is left alone in its directory. Once
// closed, Save returns os.ErrClosed and nothing is found any more.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.cfg.Path == None || s.db == nil {
		s.disconnect()
		return nil
	}
	// Where this cannot be written, the next Open checks the file: nothing is lost.
	_ = s.transact(context.Background(), func(tx *sql.Tx) error {
		return setMeta(context.Background(), tx, metaClosed, []byte{1})
	})
	var err error
	if s.path != "" {
		// A reader's lock would keep the journal from being removed.
		if r := s.reader.Swap(nil); r != nil && r != s.db {
			r.Close()
		}
		_, err = s.db.Exec(`PRAGMA journal_mode = DELETE`)
	}
	s.disconnect()
	return s.explain(err)
}

// reading runs do with the connection to read from; not at all where there is
// none. A file that turns out to be damaged is replaced, and do runs again.
func (s *Store) reading(ctx context.Context, do func(*sql.DB) error) error {
	db := s.reader.Load()
	if db == nil {
		return nil
	}
	err := do(db)
	if kindOf(err) == ErrDamaged && s.path != "" {
		if err := s.repair(ctx, err); err != nil {
			return s.explain(err)
		}
		if db = s.reader.Load(); db == nil {
			return nil
		}
		err = do(db)
	}
	return s.explain(err)
}

// repair replaces a file that was found to be damaged, unless somebody else
// has just done so.
func (s *Store) repair(ctx context.Context, damage error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.db == nil {
		return damage
	}
	s.suspect = "damaged: " + damage.Error()
	s.disconnect()
	err := s.connect(ctx)
	if err != nil {
		s.disconnect()
	}
	return err
}
