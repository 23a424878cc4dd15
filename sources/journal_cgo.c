//go:build cgo

#include "journal_cgo.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	max_message = 64 << 10,
	keep_tail = 4 << 10,
	max_other = 1 << 10,
	max_threshold = 1 << 20, // what libsystemd unpacks of a field
	max_values = 2 * max_other, // of one extra field
	max_entry = max_message + 1 + (f2b_fields - 1) * max_other + 16 + f2b_fields * 8 + 4, // without extra fields
};

struct f2b_journal {
	void *lib;
	void *j; // sd_journal
	int pending; // the entry that was sought is not read yet

	int (*next)(void *);
	int (*realtime)(void *, uint64_t *);
	int (*monotonic)(void *, uint64_t *, unsigned char *);
	void (*restart)(void *);
	int (*enumerate)(void *, const void **, size_t *);
};

static void *sym(f2b_journal *f, const char *name) { return dlsym(f->lib, name); }

int f2b_open(f2b_journal **out, const char **files, const char *path, const char *space, int flags) {
	f2b_journal *f = calloc(1, sizeof *f);
	if (!f)
		return -ENOMEM;
	int r = -ENOSYS;
	f->lib = dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);
	if (!f->lib)
		goto fail;
	int (*open_files)(void **, const char **, int) = sym(f, "sd_journal_open_files");
	int (*open_directory)(void **, const char *, int) = sym(f, "sd_journal_open_directory");
	int (*open_namespace)(void **, const char *, int) = sym(f, "sd_journal_open_namespace");
	int (*open_default)(void **, int) = sym(f, "sd_journal_open");
	int (*threshold)(void *, size_t) = sym(f, "sd_journal_set_data_threshold");
	f->next = sym(f, "sd_journal_next");
	f->realtime = sym(f, "sd_journal_get_realtime_usec");
	f->monotonic = sym(f, "sd_journal_get_monotonic_usec");
	f->restart = sym(f, "sd_journal_restart_data");
	f->enumerate = sym(f, "sd_journal_enumerate_available_data"); // since 246
	if (!f->enumerate)
		f->enumerate = sym(f, "sd_journal_enumerate_data");
	if (!f->restart || !f->enumerate || !open_files || !open_directory || !open_default || !threshold || !f->next || !f->realtime || !f->monotonic)
		goto fail;
	if (files)
		r = open_files(&f->j, files, 0);
	else if (path)
		r = open_directory(&f->j, path, 0);
	else if (space)
		r = open_namespace ? open_namespace(&f->j, space, flags) : -ENOSYS;
	else
		r = open_default(&f->j, flags);
	if (r < 0)
		goto fail;
	threshold(f->j, max_threshold);
	*out = f;
	return 0;
fail:
	if (f->lib)
		dlclose(f->lib);
	free(f);
	return r;
}

int f2b_match(f2b_journal *f, const void *data, size_t size) {
	int (*fn)(void *, const void *, size_t) = sym(f, "sd_journal_add_match");
	return fn ? fn(f->j, data, size) : -ENOSYS;
}

int f2b_or(f2b_journal *f) {
	int (*fn)(void *) = sym(f, "sd_journal_add_disjunction");
	return fn ? fn(f->j) : -ENOSYS;
}

int f2b_seek_realtime(f2b_journal *f, uint64_t usec) {
	int (*fn)(void *, uint64_t) = sym(f, "sd_journal_seek_realtime_usec");
	f->pending = 0;
	return fn ? fn(f->j, usec) : -ENOSYS;
}

int f2b_seek_cursor(f2b_journal *f, const char *cursor) {
	int (*seek)(void *, const char *) = sym(f, "sd_journal_seek_cursor");
	int (*test)(void *, const char *) = sym(f, "sd_journal_test_cursor");
	if (!seek || !test)
		return -ENOSYS;
	f->pending = 0;
	int r = seek(f->j, cursor);
	if (r < 0)
		return r;
	r = f->next(f->j);
	if (r <= 0)
		return r;
	// Where the entry was vacuumed this is the next one, and it is not read yet.
	r = test(f->j, cursor);
	if (r < 0)
		return r;
	f->pending = r == 0;
	return 0;
}

int f2b_test(f2b_journal *f, const char *cursor) {
	int (*fn)(void *, const char *) = sym(f, "sd_journal_test_cursor");
	return fn ? fn(f->j, cursor) : -ENOSYS;
}

int f2b_process(f2b_journal *f) {
	int (*fn)(void *, uint64_t) = sym(f, "sd_journal_wait");
	int r = fn ? fn(f->j, 0) : -ENOSYS;
	return r < 0 ? r : 0;
}

int f2b_cursor(f2b_journal *f, char **cursor) {
	int (*fn)(void *, char **) = sym(f, "sd_journal_get_cursor");
	return fn ? fn(f->j, cursor) : -ENOSYS;
}

void f2b_close(f2b_journal *f) {
	void (*fn)(void *) = sym(f, "sd_journal_close");
	if (fn)
		fn(f->j);
	dlclose(f->lib);
	free(f);
}

// names are journalFields, in their order.
static const struct { const char *text; size_t size; } names[f2b_fields] = {
#define NAME(text) {text, sizeof text - 1}
	NAME("MESSAGE"), NAME("_SOURCE_REALTIME_TIMESTAMP"), NAME("_HOSTNAME"), NAME("SYSLOG_IDENTIFIER"),
	NAME("_COMM"), NAME("SYSLOG_PID"), NAME("_PID"), NAME("_SOURCE_MONOTONIC_TIMESTAMP"),
};

static void word(unsigned char **at, uint32_t n) {
	memcpy(*at, &n, 4);
	*at += 4;
}

// put appends a value under an index. Of one beyond max its beginning is kept, and
// of a message its end.
static void put(unsigned char **at, uint32_t index, const unsigned char *text, size_t size) {
	// One byte more than fits tells the reader of the line that it was cut.
	size_t max = index == 0 ? max_message + 1 : max_other, tail = index == 0 ? keep_tail : 0;
	size_t n = size < max ? size : max;
	word(at, index);
	word(at, n);
	if (size <= max)
		tail = 0;
	memcpy(*at, text, n - tail);
	memcpy(*at + n - tail, text + size - tail, tail);
	*at += n;
}

// wanted appends an entry's field, FIELD=value, if it is one that is asked for. Of
// a line's fields the first of a name counts, of the extra ones every one.
static void wanted(const unsigned char *data, size_t size, int fields, const char **extra, uint32_t *seen, size_t *used, unsigned char **at) {
	const unsigned char *equals = memchr(data, '=', size);
	if (!equals)
		return;
	size_t name = equals - data, skip = name + 1;
	for (int i = 0; i < fields; i++)
		if (names[i].size == name && memcmp(data, names[i].text, name) == 0 && !(*seen & 1u << i)) {
			*seen |= 1u << i;
			put(at, i, data + skip, size - skip);
			break;
		}
	for (int i = 0; extra && extra[i]; i++) {
		if (strncmp(extra[i], (const char *)data, name) != 0 || extra[i][name])
			continue;
		size_t n = size - skip < max_other ? size - skip : max_other;
		if (used[i] + 8 + n <= max_values) {
			used[i] += 8 + n;
			put(at, f2b_fields + i, data + skip, n);
		}
	}
}

// pack appends the current entry. Its fields are gone through once: to ask for
// each by its name takes three times as long.
static int pack(f2b_journal *f, unsigned char **at, int message_only, const char **extra) {
	uint64_t realtime = 0, monotonic = 0;
	unsigned char boot[16];
	int r = f->realtime(f->j, &realtime);
	if (r < 0)
		return r;
	(void)f->monotonic(f->j, &monotonic, boot);
	memcpy(*at, &realtime, 8);
	memcpy(*at + 8, &monotonic, 8);
	*at += 16;
	const void *data;
	size_t size, used[f2b_extra] = {0};
	uint32_t seen = 0;
	int fields = message_only ? 2 : f2b_fields;
	uint32_t all = extra && *extra ? UINT32_MAX : (1u << fields) - 1; // then there is no more to look for
	f->restart(f->j);
	while (f->enumerate(f->j, &data, &size) > 0) {
		wanted(data, size, fields, extra, &seen, used, at);
		if (seen == all)
			break;
	}
	word(at, f2b_end);
	return 0;
}

int f2b_next(f2b_journal *f, unsigned char *buf, size_t cap, int max, int message_only, const char **extra, int polls, int usec, int *end) {
	unsigned char *at = buf;
	int n = 0;
	size_t most = max_entry;
	for (const char **name = extra; name && *name; name++)
		most += max_values;
	*end = 0;
	while (n < max && (size_t)(at - buf) + most <= cap) {
		int r = 1;
		if (!f->pending)
			r = f->next(f->j);
		if (r < 0)
			return n ? n : r;
		if (r == 0) {
			if (n == 0 && polls-- > 0) {
				struct timespec pause = {.tv_nsec = usec * 1000L};
				(void)nanosleep(&pause, NULL);
				continue;
			}
			*end = 1;
			break;
		}
		f->pending = 0;
		r = pack(f, &at, message_only, extra);
		if (r < 0)
			return n ? n : r;
		n++;
	}
	return n;
}
