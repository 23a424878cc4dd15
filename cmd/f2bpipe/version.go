package main

import (
	"fmt"
	"runtime"
)

type versionCmd struct{}

// Run prints the version and how a journal would be read.
func (versionCmd) Run(s *streams) error {
	_, err := fmt.Fprintf(s.buffered, "f2bpipe %s %s/%s %s\n", version, runtime.GOOS, runtime.GOARCH, runtime.Version())
	return err
}
