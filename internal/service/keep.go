package service

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/store"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// purgeEvery is how often what nobody needs is removed from the store, as in fail2ban.
const purgeEvery = time.Hour

// memoryLife is how long the memory of the run before waits for its input: no
// session is open longer.
const memoryLife = 5 * time.Minute

// keeping is what a service keeps between two runs, and where.
type keeping struct {
	file       config.Value
	purgeAge   time.Duration
	maxMatches int // −1: not set

	store  *store.Store                 // nil: nothing is kept
	memory map[string][]pipeline.Memory // of the matchers of the run before, by input; until the input is there

	restored int          // bans of the run before
	last     atomic.Int64 // when the last checkpoint was written, nanoseconds; 0: none yet
	events   bool         // only bans are kept: a pipe's counts and positions are nobody's
}

// keepBy takes the options of the store from fail2ban.conf.
func (s *Service) keepBy(m *config.Main) {
	s.keep.file, s.keep.purgeAge, s.keep.maxMatches = m.DBFile, m.DBPurgeAge, m.DBMaxMatches
}

// openStore opens the store, unless this is a dry run. Only that another
// process has it is an error: two that ban by one file undo each other's bans.
// With any other fault the service runs and bans, and its status says so.
func (s *Service) openStore(ctx context.Context) error {
	path := s.keep.file.Text
	if s.cfg.DryRun != nil || path == "" || strings.EqualFold(path, store.None) {
		return nil
	}
	if path != store.Memory {
		// One level, as fail2ban makes it: a path with more of them that are not
		// there is more likely a mistake.
		if err := os.Mkdir(filepath.Dir(path), 0o700); err == nil {
			s.log.Info("folder of the database was made", "path", filepath.Dir(path))
		}
	}
	cfg := store.Config{Path: path, Jails: s.readersOf, Log: s.log}
	st, err := store.Open(ctx, cfg)
	if errors.Is(err, store.ErrInUse) {
		return err
	}
	if err != nil {
		s.log.Error("nothing is kept: bans end with this process", "problem", err)
		s.trouble.set("store", "bans, history and positions are not kept: "+err.Error())
		return nil
	}
	if err := st.Fault(); err != nil {
		s.log.Error("database cannot be written, bans go on", "problem", err)
	}
	s.keep.store = st
	s.setPurgeAge(s.keep.purgeAge)
	if s.keep.maxMatches >= 0 {
		s.setMaxMatches(s.keep.maxMatches)
	}
	return nil
}

// setPurgeAge sets dbpurgeage; 0: nothing is kept for long.
func (s *Service) setPurgeAge(d time.Duration) {
	if s.keep.store != nil {
		s.keep.store.SetPurgeAge(max(d, time.Nanosecond))
	}
}

// setMaxMatches sets dbmaxmatches; 0: no lines are stored.
func (s *Service) setMaxMatches(n int) {
	if s.keep.store == nil {
		return
	}
	if n == 0 {
		n = -1
	}
	s.keep.store.SetMaxMatches(n)
}

// closeStore writes the last of it and ends the store. There is no WAL.
func (s *Service) closeStore() error {
	if s.keep.store == nil {
		return nil
	}
	return s.keep.store.Close()
}

// checkpoints returns where checkpoints go; nil: nowhere.
func (s *Service) checkpoints() pipeline.Store {
	if s.keep.store == nil {
		return nil
	}
	return saving{s}
}

// saving writes checkpoints and notes when.
type saving struct{ *Service }

// Save implements pipeline.Store.
func (s saving) Save(ctx context.Context, c *pipeline.Checkpoint) error {
	if s.keep.events {
		if len(c.Events) == 0 {
			return nil
		}
		c = &pipeline.Checkpoint{Events: c.Events}
	}
	err := s.keep.store.Save(ctx, c)
	if err == nil {
		s.keep.last.Store(time.Now().UnixNano())
	}
	return err
}

// readersOf returns the jails that read an input: its position is each of theirs.
func (s *Service) readersOf(in *pipeline.Input) []*pipeline.Jail {
	var jails []*jail
	switch m := in.Matcher().(type) {
	case *watched:
		jails = m.jails
	case *sorted:
		for _, g := range m.groups {
			jails = append(jails, g.current().jails...)
		}
	}
	out := make([]*pipeline.Jail, 0, len(jails))
	for _, j := range jails {
		out = append(out, j.identity)
	}
	return out
}

// tendStore purges hourly until ctx is done.
func (s *Service) tendStore(ctx context.Context) {
	if s.keep.store == nil {
		return
	}
	tick := time.NewTicker(purgeEvery)
	defer tick.Stop()
	forget := time.NewTimer(memoryLife)
	defer forget.Stop()
	for {
		select {
		case <-forget.C:
			s.mu.Lock()
			s.keep.memory = nil
			s.mu.Unlock()
		case <-tick.C:
			s.purge(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// purge removes what nobody needs any more from store and history.
func (s *Service) purge(ctx context.Context) {
	now := s.clock.Now()
	s.history.purge(now, s.keep.store.PurgeAge())
	if err := s.keep.store.Purge(ctx, now); err != nil {
		s.log.Error("old bans are not removed from the database", "problem", err)
	}
}

// StoreStatus is the state of the database. Keys are only ever added.
type StoreStatus struct {
	File           string   `json:"file"`            // None: nothing is kept
	Bytes          int64    `json:"bytes"`           // of the file; 0: there is none
	LastCheckpoint *float64 `json:"last_checkpoint"` // epoch seconds; null: none yet
	Error          string   `json:"error"`           // why nothing can be written; empty: it can
	SetAside       string   `json:"set_aside"`       // where a damaged or foreign file was put; empty: it was not
	History        int      `json:"history"`         // IDs whose bans count for bantime.increment
	Matches        struct {
		Bytes int   `json:"bytes"` // lines and fields that are kept for bans to come
		Lost  int64 `json:"lost"`  // lines that went for want of room
	} `json:"matches"`
}

// storeStatus says how the store is.
func (s *Service) storeStatus() StoreStatus {
	out := StoreStatus{File: store.None, History: s.history.size()}
	w := s.window.Stats()
	out.Matches.Bytes, out.Matches.Lost = w.MatchBytes, w.LostMatches
	st := s.keep.store
	if st == nil {
		return out
	}
	out.File, out.SetAside = st.Path(), st.SetAside()
	if info, err := os.Stat(st.Path()); err == nil {
		out.Bytes = info.Size()
	} else if st.Path() != store.Memory && !errors.Is(err, fs.ErrNotExist) {
		out.Error = err.Error()
	}
	if err := st.Fault(); err != nil {
		out.Error = err.Error()
	}
	if at := s.keep.last.Load(); at > 0 {
		seconds := epoch(at)
		out.LastCheckpoint = &seconds
	}
	return out
}
