package sources

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"slices"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// JournalLog is what stands in a journal now, read once to its end through
// journalctl: for people who try a filter on it.
type JournalLog struct {
	Input   *pipeline.Input
	Options JournalOptions
}

var _ pipeline.Source = (*JournalLog)(nil)

// Run reads to the end of the journal, or until ctx is done, which is no error.
func (j *JournalLog) Run(ctx context.Context, feed *pipeline.Feed) error {
	args := slices.DeleteFunc(journalctlArgs(j.Options, nil), func(a string) bool { return a == "--follow" || a == "--no-tail" })
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	r := journalRun{Journal: &Journal{Input: j.Input, Options: j.Options, Groups: []JournalGroup{{}}}, log: slog.New(slog.DiscardHandler)}
	sorter, err := newSorter([]wireGroup{{}})
	if err != nil {
		return err
	}
	readErr := r.readExport(ctx, feed, stdout, sorter, &lagMeter{})
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return fmt.Errorf("read journal: journalctl: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	case readErr != nil && !errors.Is(readErr, io.EOF):
		return fmt.Errorf("read journal: %w", readErr)
	}
	return nil
}
