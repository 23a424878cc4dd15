package main

import (
	"fmt"
	"runtime"

	"github.com/f2bpipe/f2bpipe/sources"
)

type versionCmd struct{}

// Run prints the version and how a journal would be read.
func (versionCmd) Run(s *streams) error {
	_, err := fmt.Fprintf(s.buffered, "f2bpipe %s %s/%s %s, journal by %s\n", version, runtime.GOOS, runtime.GOARCH, runtime.Version(), sources.JournalBackend())
	return err
}
