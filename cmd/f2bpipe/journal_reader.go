package main

import (
	"fmt"

	"github.com/f2bpipe/f2bpipe/sources"
)

// journalReader is what the service starts to read the systemd journal: a
// process that libsystemd may bring down. It ends with its stdin.
func journalReader(std stdio) int {
	err := sources.RunJournalReader(std.in, std.out)
	if err != nil {
		fmt.Fprintln(std.err, err)
	}
	return sources.JournalReaderStatus(err)
}
