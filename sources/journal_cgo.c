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
	max_entry = max_message + 1 + (f2b_fields - 1) * max_other + 16 + f2b_fields * 4, // without extra fields
};

struct f2b_journal {
	void *lib;
	void *j; // sd_journal
	int pending; // the entry that was sought is not read yet

	int (*next)(void *);
	int (*get_data)(void *, const char *, const void **, size_t *);
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
	f->get_data = sym(f, "sd_journal_get_data");
	f->realtime = sym(f, "sd_journal_get_realtime_usec");
	f->monotonic = sym(f, "sd_journal_get_monotonic_usec");
	f->restart = sym(f, "sd_journal_restart_data");
	f->enumerate = sym(f, "sd_journal_enumerate_available_data"); // since 246
	if (!f->enumerate)
		f->enumerate = sym(f, "sd_journal_enumerate_data");
	if (!f->restart || !f->enumerate || !open_files || !open_directory || !open_default || !threshold || !f->next || !f->get_data || !f->realtime || !f->monotonic)
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

// field packs one field's value; an absent or unreadable one is empty. It returns
// the value's length and, through value, where it was packed.
static uint32_t field(f2b_journal *f, const char *name, size_t max, size_t tail, unsigned char **at, unsigned char **value) {
	const void *data = NULL;
	size_t size = 0, skip = strlen(name) + 1;
	uint32_t n = 0;
	unsigned char *p = *at + 4;
	if (f->get_data(f->j, name, &data, &size) == 0 && size >= skip) {
		const unsigned char *text = (const unsigned char *)data + skip;
		size -= skip;
		// One byte more than fits tells the reader of the line that it was cut.
		if (size <= max) {
			memcpy(p, text, size);
		} else {
			memcpy(p, text, max - tail);
			memcpy(p + max - tail, text + size - tail, tail);
			size = max;
		}
		n = size;
	}
	memcpy(*at, &n, 4);
	*value = p;
	*at = p + n;
	return n;
}

static void absent(unsigned char **at) {
	memset(*at, 0, 4);
	*at += 4;
}

// pack appends the current entry. The order of the fields is journalFields'.
static int pack(f2b_journal *f, unsigned char **at, int message_only) {
	uint64_t realtime = 0, monotonic = 0;
	unsigned char boot[16], *v;
	int r = f->realtime(f->j, &realtime);
	if (r < 0)
		return r;
	(void)f->monotonic(f->j, &monotonic, boot);
	memcpy(*at, &realtime, 8);
	memcpy(*at + 8, &monotonic, 8);
	*at += 16;
	field(f, "MESSAGE", max_message + 1, keep_tail, at, &v);
	field(f, "_SOURCE_REALTIME_TIMESTAMP", max_other, 0, at, &v);
	if (message_only) {
		for (int i = 2; i < f2b_fields; i++)
			absent(at);
		return 0;
	}
	field(f, "_HOSTNAME", max_other, 0, at, &v);
	uint32_t n = field(f, "SYSLOG_IDENTIFIER", max_other, 0, at, &v);
	int kernel = n == 6 && memcmp(v, "kernel", 6) == 0;
	if (n)
		absent(at);
	else
		field(f, "_COMM", max_other, 0, at, &v);
	if (field(f, "SYSLOG_PID", max_other, 0, at, &v))
		absent(at);
	else
		field(f, "_PID", max_other, 0, at, &v);
	if (kernel)
		field(f, "_SOURCE_MONOTONIC_TIMESTAMP", max_other, 0, at, &v);
	else
		absent(at);
	return 0;
}

// one appends one value of an extra field, if there is room.
static void one(unsigned char **at, unsigned char *end, const unsigned char *text, size_t size) {
	if (size > max_other)
		size = max_other;
	if (*at + 4 + size > end)
		return;
	uint32_t n = size;
	memcpy(*at, &n, 4);
	memcpy(*at + 4, text, n);
	*at += 4 + n;
}

// values appends what an extra field has. A field of journald's own is there once;
// one that the sender wrote can be there any number of times.
static void values(f2b_journal *f, const char *name, unsigned char **at) {
	unsigned char *p = *at + 4, *end = p + max_values;
	const void *data = NULL;
	size_t size = 0, skip = strlen(name) + 1;
	if (name[0] == '_') {
		if (f->get_data(f->j, name, &data, &size) == 0 && size >= skip)
			one(&p, end, (const unsigned char *)data + skip, size - skip);
	} else {
		f->restart(f->j);
		while (f->enumerate(f->j, &data, &size) > 0)
			if (size >= skip && memcmp(data, name, skip - 1) == 0 && ((const char *)data)[skip - 1] == '=')
				one(&p, end, (const unsigned char *)data + skip, size - skip);
	}
	uint32_t n = p - *at - 4;
	memcpy(*at, &n, 4);
	*at = p;
}

int f2b_next(f2b_journal *f, unsigned char *buf, size_t cap, int max, int message_only, const char **extra, int polls, int usec, int *end) {
	unsigned char *at = buf;
	int n = 0;
	size_t most = max_entry;
	for (const char **name = extra; name && *name; name++)
		most += max_values + 4;
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
		r = pack(f, &at, message_only);
		if (r < 0)
			return n ? n : r;
		for (const char **name = extra; name && *name; name++)
			values(f, *name, &at);
		n++;
	}
	return n;
}
