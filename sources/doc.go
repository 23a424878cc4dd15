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
// nxadm/tail's watch package and fsnotify were tried against the same schedule
// as this package's own tests (see BenchmarkCatchUp for nxadm's reader). The
// watch package takes its watch off a name as soon as it is renamed or deleted,
// so that what a writer adds through its open descriptor is never announced; it
// only prints a queue overflow, so that nobody looks again; it never notices a
// switched symlink; it runs a goroutine a file; and it ends the process when
// stat fails for a reason other than absence. fsnotify, below it, watches names
// too: a second watch for the renamed file's inode under its new name is
// refused the path it is known by, and two names of one inode share one entry.
// What is left of either, after all that is worked around, is reading
// struct inotify_event, which is the forty lines of notify.go.
package sources
