package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/f2bpipe/f2bpipe/internal/service"
)

type reloadCmd struct {
	clientFlags
	Jail string `arg:"" optional:"" help:"Read and judge this jail alone."`
}

// Run makes the service read its configuration again.
func (c *reloadCmd) Run(ctx context.Context, s *streams) error {
	var done service.Reloaded
	if err := c.call(ctx, service.VerbReload, service.ReloadArgs{Jail: c.Jail}, &done); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.buffered, &done)
	}
	for _, part := range []struct {
		what  string
		jails []string
	}{{"added", done.Added}, {"changed", done.Changed}, {"removed", done.Removed}, {"disabled, by errors that were there before", done.Disabled}} {
		if len(part.jails) > 0 {
			fmt.Fprintf(s.buffered, "%s: %s\n", part.what, printable([]byte(strings.Join(part.jails, " "))))
		}
	}
	fmt.Fprintf(s.buffered, "unchanged: %d\n", done.Unchanged)
	return nil
}

// blindList says which jails seem blind, and why.
func blindList(w io.Writer, jails []service.JailStatus) {
	for _, j := range jails {
		if j.Blind != "" {
			fmt.Fprintf(w, "%s seems BLIND: %s\n", j.Name, printable([]byte(j.Blind)))
		}
	}
}
