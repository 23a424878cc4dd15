// Package sources reads logs: [Reader] one stream to its end (stdin, a plain
// file), [Files] any number of followed files, [Journal] the systemd journal.
// Each is a pipeline.Source: it fills batches that it gets from the feed with
// whole lines, puts them back, and waits where no batch is free.
//
// What a batch holds is the same for all of them: whole lines back to back,
// each ended by exactly one '\n'. A '\r' before it stays, a NUL stays, bytes
// that are no UTF-8 stay. A line longer than [MaxLine] is cut to its beginning
// and its end. Line numbers count the lines of the input since it was made.
//
// # Following files
//
// One goroutine follows all files. It reads blocks with pread at an offset of
// its own, straight into the batch, and learns of changes from one inotify
// instance, which watches two things:
//
//   - the open inode of each file, through /proc/self/fd/N, for what is written.
//     The watch is on the inode and not on the name: a file that was renamed or
//     deleted goes on to report its late writers.
//   - the directories that the names stand in, for names that come and go.
//
// A sweep over all names every 250 ms is the safety net for what inotify does
// not tell (a symlink far up the path, a file system of another machine). With
// [Files.Poll] it is all there is.
//
// A followed name is a list of segments, oldest first. The last one is the file
// that the name leads to; the ones before it are what it led to earlier, each
// read to its end before the next, then held open for late writers. A segment
// appears in the list
//
//   - when the name leads to another inode (rename rotation, delete and
//     recreate, a symlink switched): the new file becomes the last segment;
//     rotated files that came and went in between are put before it;
//   - when the file shrank or its first bytes changed (copytruncate, "> file"):
//     a copy beside it that has our first bytes and reaches beyond our offset is
//     put before it, and the file itself is read from its start;
//   - when a stored position belongs to a file that was rotated since.
//
// # Why inotify directly
//
// nxadm/tail's watch package and fsnotify were tried (watch_test.go keeps the
// trials). The watch package takes its watch off a file when that is renamed or
// deleted, so that what a writer adds through the descriptor that it has is never
// announced; it does not notice a symlink that is switched; it prints a queue
// overflow and nobody looks again; it runs a goroutine a file; and it ends the
// process when stat fails for another reason than absence. fsnotify, below it,
// tells changes of an inode that was added under two names to the last name only,
// and to none when the other is removed; but a rotated file and its successor's
// name, or a symlink and its target, are two names of one inode. What is left of
// either when that is worked around is reading struct inotify_event: notify.go.
//
// # What is not promised
//
// A line is lost that no file has any more: one written between a copy and the
// truncation that belongs to it, or to a file that was made and deleted before it
// could be opened. A rotated file is heard for as long as it is written to at
// least every five seconds, and until its successor is written to. Rotated files
// are recognised by their names (rotation says which); those packed with anything
// but gzip and bzip2 cannot be read.
//
// # Coming later
//
// [Files.CatchUp] reads a file that is followed already for a further input: its
// own descriptors, its own offsets, the same goroutine and feed. It is read up to
// the byte at which the stream stands, through whatever happens to the file
// meanwhile; then a batch without lines says that both are at the same place, and
// that place is exact, because what stands behind that batch in the feed was read
// after it.
//
// # The journal
//
// libsystemd is loaded in a process of its own, which a SIGBUS may end without
// harm (it maps the files, and journald cuts them), and read through a few lines
// of C that take many entries a call (journal_cgo.c says what for). The reader
// polls: journald announces an entry up to 250 ms late, but it can be read at
// once. It polls in C, where a look costs a fraction of what waking a goroutine
// does. Without libsystemd a journalctl process takes its place.
//
// One reader serves several groups of matches. libsystemd is asked for the
// entries of all; to which groups an entry belongs is found out once more, from
// the fields that the matches name, and goes with the line as a mask. Groups may
// start at different entries: the reading begins with the first, and each is
// passed over until its own is met.
package sources
