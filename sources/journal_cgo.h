// The part of libsystemd that the journal reader needs, loaded at run time: neither
// the build nor the start of the program needs it. Declarations: sd-journal(3).

#include <stddef.h>
#include <stdint.h>

typedef struct f2b_journal f2b_journal;

enum { f2b_fields = 8, f2b_extra = 16, f2b_end = 0xffff };

// f2b_open opens files, a directory, a namespace or the default journal, the
// first that is given. It returns 0, -ENOSYS without libsystemd, or -errno.
int f2b_open(f2b_journal **out, const char **files, const char *path, const char *space, int flags);

int f2b_match(f2b_journal *j, const void *data, size_t size);
int f2b_or(f2b_journal *j);
int f2b_seek_realtime(f2b_journal *j, uint64_t usec);
int f2b_seek_cursor(f2b_journal *j, const char *cursor);
int f2b_process(f2b_journal *j);
int f2b_cursor(f2b_journal *j, char **cursor);
void f2b_close(f2b_journal *j);

// f2b_test says whether the cursor is the last entry's: 1, 0 or -errno.
int f2b_test(f2b_journal *j, const char *cursor);

// f2b_next packs up to max further entries into buf and returns their number, or
// -errno; *end says that there are no more now. An entry is, in the machine's byte
// order: realtime and monotonic (uint64), then, in any order, each field that is
// there as its index in journalFields, its length (uint32) and its bytes, a message
// beyond 64 KiB cut to its first 60 and last 4, another field to 1 KiB; the fields
// that extra names (up to f2b_extra, NULL ends them) with the indexes from f2b_fields
// on, as often as they are there, within 2 KiB; f2b_end ends it.
// cap is at least 128 KiB. Where there is no entry it looks again, polls times,
// usec apart: out here a look costs a fraction of what a timer of Go's does.
int f2b_next(f2b_journal *j, unsigned char *buf, size_t cap, int max, int message_only, const char **extra, int polls, int usec, int *end);
