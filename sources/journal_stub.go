//go:build !cgo

package sources

// JournalBackend says how this program reads the journal: "libsystemd" or
// "journalctl". This one was built without cgo.
func JournalBackend() string { return "journalctl" }

// openJournal says that this program cannot.
func openJournal(JournalOptions, []string) (journalHandle, error) { return nil, errNoLibsystemd }
