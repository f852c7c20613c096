// SPDX-License-Identifier: GPL-2.0
/*
 * Counts the instructions that operations on device DAX take.
 *
 * It runs in a machine whose TSC advances one tick per instruction (QEMU's
 * icount). The difference of two readings is the number of instructions
 * between them, in user space and kernel together, and is the same on every
 * run. A timer interrupt between two readings adds to it; the median is not
 * affected by such outliers.
 *
 *   bench mapping ALIGN=DEVICE...	faults, mmap, open, of devices by align
 *   bench ranges			a device of more and more ranges
 *   bench devices COUNT...		a dynamic region of more and more devices
 *   bench lifecycle			a device of 4 GiB comes and goes
 *   bench bare			a device without struct pages
 *   bench files FS=DIRECTORY... - FS=DIRECTORY...
 *				files in a file system; those before the "-" also sealed
 *   bench whole			much of a device at once: populate, fork, mremap
 *   bench huge				the same with entries of 1 GiB
 *   bench load COUNT MODULE...		two modules, with this many namespaces
 *   bench all COUNT...			all devices of a region come and go, and their memory
 *   bench guard			a few rows of each, in one boot
 *
 * One line per row on standard output:
 *
 *   KEY MEDIAN MINIMUM MAXIMUM SAMPLES
 *   KEY - WHY		the kernel refused this
 *   followed KEY	the next operation between two calls of marked() is KEY
 *
 * BENCH_ROUNDS in the environment is the number of samples of a row. With
 * BENCH_FOLLOW some operations are done once more, to be followed from outside.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

int rounds = 101;
int following;
int followed;

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "bench: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(1);
}

/* Counting */

uint64_t overhead;

__attribute__((noinline)) void marked(void)
{
	asm volatile("" : : : "memory");
}

void add(struct series *s, uint64_t count)
{
	if (s->n < MAX_SAMPLES)
		s->at[s->n++] = count;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

uint64_t median(struct series *s)
{
	qsort(s->at, s->n, sizeof(*s->at), ascending);
	return s->at[s->n / 2];
}

static void print_row(const char *key, const char *name, struct series *s, int part)
{
	if (!s->n)
		die("%s-%s was not measured", key, name);
	qsort(s->at, s->n, sizeof(*s->at), ascending);
	printf("%s-%s %lu %lu %lu %d\n", key, name, s->at[s->n / part], s->at[0], s->at[s->n - 1], s->n);
	s->n = 0;
}

void row(const char *key, const char *name, struct series *s)
{
	print_row(key, name, s, 2);
}

void row_low(const char *key, const char *name, struct series *s)
{
	print_row(key, name, s, 4);
}

void row_at(const char *key, int where, struct series *s)
{
	char name[16];

	snprintf(name, sizeof(name), "%d", where);
	row(key, name, s);
}

static void calibrate(void)
{
	static struct series s;

	for (int i = 0; i < 1001; i++)
		add(&s, COUNT());
	overhead = median(&s);
}

/* Faults, mmap, open */

static char *map_as(int fd, size_t length, int flags)
{
	char *p = mmap(NULL, length, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED)
		die("mmap of %zu bytes: %s", length, strerror(errno));
	return p;
}

char *map(int fd, size_t length)
{
	return map_as(fd, length, MAP_SHARED);
}

void unmap(void *p, size_t length)
{
	if (munmap(p, length))
		die("munmap: %s", strerror(errno));
}

static char *map_window(const struct device *d)
{
	char *p;

	if (!d->flags)
		return map(d->fd, d->window);
	p = map_as(d->fd, d->window, d->flags);
	/* The file system would make an entry of 2 MiB if it could. */
	if (d->align == KIB4 && madvise(p, d->window, MADV_NOHUGEPAGE))
		die("madvise: %s", strerror(errno));
	return p;
}

/* The first address at or after P at which an entry and a page table begin. */
char *aligned(char *p, size_t align)
{
	if (align < MIB2)
		align = MIB2;
	return (char *)(((uintptr_t)p + align - 1) & -align);
}

/*
 * The first touch of entries of a mapping. Those that need a new page table are
 * few; the median is an entry that does not.
 */
void first_touch(const struct device *d, int write, struct series *s)
{
	s->n = 0;
	for (int i = 0; i < 3 || s->n < rounds; i++) {
		char *p = map_window(d);

		for (size_t at = 0; at < d->window; at += d->stride) {
			uint64_t count = write ? COUNT(WRITE(p + at)) : COUNT(READ(p + at));

			if (i >= 2)	/* the first rounds are the warm-up */
				add(s, count);
		}
		unmap(p, d->window);
	}
}

static void touch_all(char *p, char *end, size_t step, int write)
{
	for (; p < end; p += step) {
		if (write)
			WRITE(p);
		else
			READ(p);
	}
}

/* First touches of consecutive entries. The count is the average per entry. */
static void touch_in_sequence(const struct device *d, int write, struct series *s)
{
	for (int i = 0; i < 13; i++) {
		size_t length = d->align == KIB4 ? 2 * MIB2 : 256 * d->align;
		char *p = map(d->fd, length), *end = p + length;
		uint64_t count;

		count = COUNT(touch_all(p, end, d->align, write));
		if (i >= 2)
			add(s, count / (length / d->align));
		unmap(p, length);
	}
}

/* The child's first touch of entries that its parent had mapped before it forked. */
static void touch_after_fork(const struct device *d, struct series *s)
{
	uint64_t *result = mmap(NULL, KIB4, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	int n = rounds < 21 ? rounds : 21;

	for (int i = 0; i < n; i++) {
		char *p = map(d->fd, d->window);
		int status;
		pid_t pid;

		for (size_t at = 0; at < d->window; at += d->stride)
			READ(p + at);
		pid = fork();
		if (pid < 0)
			die("fork: %s", strerror(errno));
		if (!pid) {
			char *at = aligned(p, d->align);

			/* The first makes the page table. */
			READ(at);
			*result = COUNT(READ(at + d->stride));
			_exit(0);
		}
		if (waitpid(pid, &status, 0) != pid || status)
			die("the forked process failed");
		add(s, *result);
		unmap(p, d->window);
	}
	unmap(result, KIB4);
}

/* The first touch of an entry of a mapping that was moved. */
static void touch_after_mremap(const struct device *d, struct series *s)
{
	size_t length = 2 * d->stride > GIB ? GIB : 2 * d->stride;

	for (int i = 0; i < rounds; i++) {
		size_t room = length + (d->align > MIB2 ? d->align : MIB2);
		char *p = map(d->fd, length);
		char *free = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		char *to = aligned(free, d->align);

		if (mremap(p, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
			die("mremap: %s", strerror(errno));
		/* The neighbour's touch makes the page table. */
		if (d->align < GIB)
			READ(to + d->stride);
		add(s, COUNT(READ(to)));
		unmap(free, room);
	}
}

void populate(const struct device *d, size_t length, struct series *fill, struct series *clear)
{
	int warm = length / d->align < 4096 ? 2 : 1;

	for (int i = 0; i < (warm > 1 ? 7 : 4); i++) {
		uint64_t count;
		char *p;

		count = COUNT(p = mmap(NULL, length, PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_POPULATE, d->fd, 0));
		if (p == MAP_FAILED)
			die("mmap with MAP_POPULATE: %s", strerror(errno));
		if (i >= warm)
			add(fill, count);
		count = COUNT(munmap(p, length));
		if (i >= warm)
			add(clear, count);
	}
}

static uint64_t count_mmap_munmap(const struct device *d)
{
	void *p;

	return COUNT((p = mmap(NULL, d->align, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd, 0),
		      munmap(p, d->align)));
}

static uint64_t count_open_close(const struct device *d)
{
	return COUNT(close(open(d->path, O_RDWR)));
}

static struct device the_device(char *spec)
{
	struct device d = { .name = spec };
	char *equals = strchr(spec, '=');

	if (!equals)
		die("%s is not ALIGN=DEVICE", spec);
	*equals = 0;
	d.path = equals + 1;
	d.align = !strcmp(spec, "4k") ? KIB4 : !strcmp(spec, "2m") ? MIB2 : GIB;
	d.window = d.align == KIB4 ? 64 << 20 : GIB;
	d.stride = d.align == KIB4 ? 32 * KIB4 : d.align == MIB2 ? 4 * MIB2 : d.align;
	d.fd = open(d.path, O_RDWR);
	if (d.fd < 0)
		die("open of %s: %s", d.path, strerror(errno));
	return d;
}

/* Touch entries that exist already for others, and follow the touch of one more, number AT. */
static void follow_touch(const struct device *d, char *p, const char *who, int at)
{
	char key[32];

	READ(p + (at + 1) * d->stride);		/* this makes the page table */
	snprintf(key, sizeof(key), "%s-%s", who, d->name);
	FOLLOW(key, COUNT(READ(p + at * d->stride)));
}

/* The first of two that touch the device. It says when it is done, and waits for the second. */
struct first {
	const struct device *d;
	const char *who;
	char *p;
	int done[2], wait[2];		/* pipes */
};

static void *touch_first(void *argument)
{
	struct first *first = argument;
	char byte = 0;

	follow_touch(first->d, first->p, first->who, 4);
	if (write(first->done[1], &byte, 1) != 1 || read(first->wait[0], &byte, 1) != 1)
		die("the second of two is gone: %s", strerror(errno));
	return NULL;
}

static void touch_second(struct first *first, char *p, const char *who)
{
	char byte = 0;

	if (read(first->done[0], &byte, 1) != 1)
		die("the first of two is gone: %s", strerror(errno));
	follow_touch(first->d, p, who, 8);
	if (write(first->wait[1], &byte, 1) != 1)
		die("the first of two is gone: %s", strerror(errno));
}

/*
 * The touches of two processes on one device, and of two threads of one process. They take place one
 * after the other; the cache lines that both write are found in the traces.
 */
static void follow_sharing(const struct device *d)
{
	struct first first = { .d = d, .who = "process-a" };
	pthread_t thread;
	int status;
	pid_t pid;
	char *p;

	if (pipe(first.done) || pipe(first.wait))
		die("pipe: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		first.p = map(d->fd, d->window);
		touch_first(&first);
		_exit(0);
	}
	p = map(d->fd, d->window);
	touch_second(&first, p, "process-b");
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		die("the other process failed");
	unmap(p, d->window);

	p = first.p = map(d->fd, d->window);
	first.who = "thread-a";
	if (pthread_create(&thread, NULL, touch_first, &first))
		die("a thread cannot run");
	touch_second(&first, p, "thread-b");
	pthread_join(thread, NULL);
	unmap(p, d->window);
	for (int i = 0; i < 2; i++) {
		close(first.done[i]);
		close(first.wait[i]);
	}
}

static void follow_mapping(const struct device *d)
{
	char key[16];
	char *p = map(d->fd, d->window);

	for (size_t i = 0; i < 8; i++)
		READ(p + i * d->stride);
	snprintf(key, sizeof(key), "read-%s", d->name);
	FOLLOW(key, COUNT(READ(p + 8 * d->stride)));
	if (d->align == KIB4)
		FOLLOW("next-read-4k", COUNT(READ(p + 8 * d->stride + KIB4)));
	unmap(p, d->window);
	follow_sharing(d);
	if (d->align != MIB2)
		return;
	FOLLOW("open-2m", count_open_close(d));
	FOLLOW("mmap-2m", count_mmap_munmap(d));
}

static void mapping_rows(struct device *d)
{
	static struct series s, clear;

	for (int i = 0; i < rounds + 2; i++) {
		uint64_t count = count_mmap_munmap(d);

		if (i >= 2)
			add(&s, count);
	}
	row("mmap", d->name, &s);
	for (int i = 0; i < rounds + 2; i++) {
		uint64_t count = count_open_close(d);

		if (i >= 2)
			add(&s, count);
	}
	row("open", d->name, &s);
	first_touch(d, 0, &s);
	row("read", d->name, &s);
	first_touch(d, 1, &s);
	row("write", d->name, &s);
	if (d->align < GIB) {
		touch_in_sequence(d, 0, &s);
		row("sequence-read", d->name, &s);
		touch_in_sequence(d, 1, &s);
		row("sequence-write", d->name, &s);
	}
	touch_after_mremap(d, &s);
	row("mremap", d->name, &s);
	if (d->align < GIB) {
		/* fork() copies an entry of 1 GiB, so there is no fault. */
		touch_after_fork(d, &s);
		row("fork", d->name, &s);
		populate(d, d->window, &s, &clear);
		row("populate", d->name, &s);
		row("munmap", d->name, &clear);
	}
	if (following && d->align < GIB)
		follow_mapping(d);
	close(d->fd);
}

static void mapping(char **devices)
{
	for (; *devices; devices++) {
		struct device d = the_device(*devices);

		mapping_rows(&d);
	}
}

/* Devices of a dynamic region, by sysfs */

char region[4096];
const char *failed = "nothing";

void find_region(void)
{
	realpath("/sys/bus/dax/devices/dax0.0/../dax_region", region);
}

/* The directory of a device's attributes. */
const char *device(int id)
{
	static char path[64];

	snprintf(path, sizeof(path), "/sys/bus/dax/devices/dax0.%d", id);
	return path;
}

/*
 * Write VALUE to an attribute, or read it to TEXT: open, write or read, and
 * close as one operation, without the path lookup to the directory. Returns -1
 * on failure.
 */
static int64_t access_attribute(const char *directory, const char *name, const char *value,
				char *text, size_t size)
{
	int at = open(directory, O_PATH | O_DIRECTORY), fd, error;
	ssize_t length = value ? strlen(value) : 0, n;
	int64_t count;

	if (value)
		count = COUNT((fd = openat(at, name, O_WRONLY),
			       n = write(fd, value, length),
			       error = errno,
			       close(fd)));
	else
		count = COUNT((fd = openat(at, name, O_RDONLY),
			       n = read(fd, text, size - 1),
			       error = errno,
			       close(fd)));
	close(at);
	if (value ? n == length : n > 0) {
		if (text)
			text[n] = 0;
		return count;
	}
	failed = name;
	errno = error;
	return -1;
}

int64_t put(const char *directory, const char *name, const char *value)
{
	return access_attribute(directory, name, value, NULL, 0);
}

int64_t get(const char *directory, const char *name, char *text, size_t size)
{
	return access_attribute(directory, name, NULL, text, size);
}

int64_t set_size(int id, const char *size)
{
	return put(device(id), "size", size);
}

int64_t create_device(void)
{
	return put(region, "create", "1");
}

int64_t delete_device(int id)
{
	char name[32];

	snprintf(name, sizeof(name), "dax0.%d", id);
	return put(region, "delete", name);
}

/* The address of a device's first range; 0 on failure. */
static uint64_t first_address(int id)
{
	char text[64];
	int was = followed;
	int64_t cost;

	followed = 0;
	cost = get(device(id), "mapping0/start", text, sizeof(text));
	followed = was;
	return cost < 0 ? 0 : strtoull(text, NULL, 0);
}

/* Set the size of a device to 0. */
int64_t empty(int id)
{
	int was = followed;
	int64_t cost;

	followed = 0;
	cost = set_size(id, "0");
	followed = was;
	return cost;
}

/* Unbind dax0.0 if it is bound, and set its size to 0. */
int empty_device(void)
{
	put(DRIVER, "unbind", "dax0.0");
	return empty(0) < 0 ? -1 : 0;
}

/* Print that the kernel refused a row, and the reason. */
int refuse(const char *key, int where)
{
	printf("%s-%d - %s: %s\n", key, where, failed, strerror(errno));
	return -1;
}

/* Bind dax0.0 to this driver, by name. */
static int bind_to(const char *driver)
{
	return put(driver, "new_id", "dax0.0") < 0 ? -1 : 0;
}

static int unbind_from(const char *driver)
{
	return put(driver, "unbind", "dax0.0") < 0 ? -1 : 0;
}

/* The first touch of the last 2 MiB of dax0.0, in page tables that exist. */
static void touch_last(int count, struct series *s)
{
	size_t length = count * MIB2;
	int fd = open("/dev/dax0.0", O_RDWR);
	char *p, *at;

	if (fd < 0)
		die("open of /dev/dax0.0: %s", strerror(errno));
	p = map(fd, length);
	at = p + length - MIB2;
	for (int i = 0; i < rounds; i++) {
		READ(at);
		if (madvise(at, MIB2, MADV_DONTNEED))
			die("madvise: %s", strerror(errno));
		add(s, COUNT(READ(at)));
	}
	row_at("last", count, s);
	unmap(p, length);
	close(fd);
}

/* Add ranges to dax0.0 until it has COUNT. The cost of the last few is a row. */
static int add_ranges(int from, int count, uint64_t start, struct series *s)
{
	for (int i = from; i < count; i++) {
		/* Every other 2 MiB, so that ranges are not merged. */
		uint64_t at = start + 2 * i * MIB2;
		int64_t cost;
		char text[64];

		snprintf(text, sizeof(text), "%#lx-%#lx", at, at + MIB2 - 1);
		cost = put(device(0), "mapping", text);
		if (cost < 0)
			return refuse("range", count);
		if (i >= count - 9)
			add(s, cost);
	}
	row_at("range", count, s);
	return 0;
}

static void ranges(void)
{
	static const int stops[] = { 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000 };
	static struct series s;
	uint64_t start = first_address(0);
	int have = 0;

	if (!start || empty_device())
		die("%s: %s", failed, strerror(errno));
	for (size_t i = 0; i < sizeof(stops) / sizeof(*stops); i++) {
		if (add_ranges(have, stops[i], start, &s))
			return;
		have = stops[i];
		if (bind_to(DRIVER))
			die("bind of dax0.0 with %d ranges: %s", have, strerror(errno));
		touch_last(have, &s);
		if (unbind_from(DRIVER))
			die("unbind: %s", strerror(errno));
	}
}

/* Set the size of the last device to 0, and count how it gets its memory back, by size or mapping. */

static int64_t count_size(int count)
{
	if (empty(count - 1) < 0)
		return -1;
	return set_size(count - 1, "2097152");
}

static int64_t count_mapping(int count)
{
	char text[64];
	uint64_t start = first_address(count - 1);

	if (!start || empty(count - 1) < 0)
		return -1;
	snprintf(text, sizeof(text), "%#lx-%#lx", start, start + MIB2 - 1);
	return put(device(count - 1), "mapping", text);
}

static int64_t count_available(int count)
{
	char text[32];

	(void)count;
	return get(region, "available_size", text, sizeof(text));
}

/* Create one more device, without memory, or delete it. */

static int64_t count_create(int count)
{
	(void)count;
	return create_device();
}

static int64_t count_delete(int count)
{
	return delete_device(count);
}

/* "delete" undoes "create". */
static const struct operation {
	const char *key;
	int64_t (*count)(int count);
} operations[] = {
	{ "available", count_available },
	{ "size", count_size },
	{ "mapping", count_mapping },
	{ "create", count_create },
	{ "delete", count_delete },
};

#define OPERATIONS (sizeof(operations) / sizeof(*operations))

static int device_rows(int count)
{
	static struct series s[OPERATIONS];

	for (int i = 0; i < rounds; i++)
		for (size_t o = 0; o < OPERATIONS; o++) {
			int64_t cost = operations[o].count(count);

			if (cost < 0)
				return refuse(operations[o].key, count);
			if (i)
				add(&s[o], cost);
		}
	for (size_t o = 0; o < OPERATIONS; o++)
		row_at(operations[o].key, count, &s[o]);
	return 0;
}

/* Give the region COUNT devices of 2 MiB. */
static int make_devices(int count)
{
	static int have;

	if (!have) {
		if (empty_device() || set_size(0, "2097152") < 0)
			return refuse("size", 0);
		have = 1;
	}
	for (; have < count; have++)
		if (create_device() < 0 || set_size(have, "2097152") < 0)
			return refuse("create", count);
	return 0;
}

/* All bytes in objects of the kernel's allocators. */
uint64_t allocated(void)
{
	uint64_t objects = 0, slabs = 0, all = 0, vmalloc = 0;
	char line[512];
	FILE *f;

	/* Wait for objects that are freed after a grace period. */
	sleep(1);
	f = fopen("/proc/slabinfo", "r");
	while (f && fgets(line, sizeof(line), f)) {
		uint64_t active, size, pages, count;

		if (sscanf(line, "%*s %lu %*u %lu %*u %lu : tunables %*u %*u %*u : slabdata %*u %lu",
			   &active, &size, &pages, &count) == 4) {
			objects += active * size;
			slabs += count * pages * KIB4;
		}
	}
	if (!f || !slabs)
		die("/proc/slabinfo says nothing");
	fclose(f);
	f = fopen("/proc/meminfo", "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Slab: %lu", &all) != 1 &&
		    sscanf(line, "VmallocUsed: %lu", &vmalloc) != 1)
			continue;
	}
	if (!f || !all)
		die("/proc/meminfo says nothing");
	fclose(f);
	/* Large allocations are whole pages. meminfo counts them as slab, slabinfo does not. */
	return objects + all * 1024 - slabs + vmalloc * 1024;
}

static void devices(char **stops)
{
	static struct series s;

	for (int first = 1, have = 0; *stops; stops++, first = 0) {
		int count = atoi(*stops);
		uint64_t before = first ? 0 : allocated();

		if (make_devices(count))
			return;
		if (!first) {
			add(&s, (allocated() - before) / (count - have));
			row_at("memory", count, &s);
		}
		have = count;
		if (device_rows(count))
			return;
		/* Create and delete sleep, but the clock stands still while they are followed. */
		if (first && following)
			for (size_t o = 0; operations[o].count != count_create; o++)
				FOLLOW(operations[o].key, operations[o].count(count));
	}
}

/* Bind dax0.0 to device_dax, and unbind it. */
static void bind_and_unbind(struct series *s)
{
	/* Unbind the driver that bound at boot. */
	put(KMEM, "unbind", "dax0.0");
	put(DRIVER, "unbind", "dax0.0");
	for (int i = 0; i < 6; i++) {
		int64_t bind = put(DRIVER, i ? "bind" : "new_id", "dax0.0");
		int64_t unbind = put(DRIVER, "unbind", "dax0.0");

		if (bind < 0 || unbind < 0)
			die("%s: %s", failed, strerror(errno));
		if (i)
			add(s, bind + unbind);
	}
}

/* Unbind dax0.0. With 0, it will have no struct pages. C has no such file, and always makes them. */
static void set_memmap(const char *value)
{
	char path[80];

	put(DRIVER, "unbind", "dax0.0");
	snprintf(path, sizeof(path), "%s/memmap", device(0));
	if (!access(path, F_OK) && put(device(0), "memmap", value) < 0)
		die("memmap: %s", strerror(errno));
}

static void bare_touch(void)
{
	static struct series s;
	char spec[] = "2m=/dev/dax0.0";
	struct device d = the_device(spec);

	first_touch(&d, 0, &s);
	row("bare-read", "2m", &s);
	first_touch(&d, 1, &s);
	row("bare-write", "2m", &s);
	close(d.fd);
}

static void bare(void)
{
	static struct series s;

	set_memmap("0");
	bind_and_unbind(&s);
	row("bare-bind", "2m", &s);
	if (put(DRIVER, "bind", "dax0.0") < 0)
		die("%s: %s", failed, strerror(errno));
	bare_touch();
}

static void follow_attribute(const char *key, const char *directory, const char *name, const char *value)
{
	int64_t cost;

	FOLLOW(key, cost = put(directory, name, value));
	if (cost < 0)
		die("%s: %s", failed, strerror(errno));
}

/* A device of all memory of the region comes and goes. */
static void lifecycle(void)
{
	static struct series s;

	bind_and_unbind(&s);
	row("bind", "2m", &s);
	put(DRIVER, "remove_id", "dax0.0");
	if (put(KMEM, "bind", "dax0.0") < 0)
		die("bind to kmem: %s", strerror(errno));
	put(device(0), "state", "unplugged");
	/* The counts vary by one in a thousand. */
	for (int i = 0; i < 12; i++) {
		int64_t online = put(device(0), "state", "online_movable");
		int64_t offline = put(device(0), "state", "unplugged");

		if (online < 0 || offline < 0)
			die("%s: %s", failed, strerror(errno));
		if (i)
			add(&s, online + offline);
	}
	row("online", "4g", &s);
	if (!following)
		return;
	/* The same, without the functions of mm. */
	follow_attribute("kmem-unbind", KMEM, "unbind", "dax0.0");
	follow_attribute("kmem-bind", KMEM, "bind", "dax0.0");
	follow_attribute("kmem-unplug", device(0), "state", "unplugged");
	follow_attribute("kmem-online", device(0), "state", "online_movable");
	follow_attribute("kmem-unplug", device(0), "state", "unplugged");
}

/* Give dax0.0 SIZE bytes at an align, by sysfs. */
struct device device_of(char *spec, const char *align, const char *size)
{
	if (empty_device() || put(device(0), "align", align) < 0 || set_size(0, size) < 0 ||
	    bind_to(DRIVER))
		die("%s: %s", failed, strerror(errno));
	return the_device(spec);
}

static void mapping_rows_of(char *spec, const char *align, const char *size)
{
	struct device d = device_of(spec, align, size);

	mapping_rows(&d);
}

static void guard(void)
{
	char small[] = "4k=/dev/dax0.0", large[] = "2m=/dev/dax0.0";

	mapping_rows_of(small, "4096", "67108864");
	mapping_rows_of(large, "2097152", "1073741824");
	large[2] = '=';		/* the_device() has cut it there */
	whole_guard(large);
	set_memmap("0");
	if (put(DRIVER, "bind", "dax0.0") < 0)
		die("%s: %s", failed, strerror(errno));
	bare_touch();
	set_memmap("1");
	if (!make_devices(100))
		device_rows(100);
}

int main(int argc, char **argv)
{
	struct sched_param first = { .sched_priority = 50 };
	const char *text = getenv("BENCH_ROUNDS");

	/* Disable address randomisation: the shape of the kernel's trees depends on addresses. */
	if (!(personality(0xffffffff) & ADDR_NO_RANDOMIZE)) {
		personality(ADDR_NO_RANDOMIZE);
		execv("/proc/self/exe", argv);
		die("exec: %s", strerror(errno));
	}
	following = getenv("BENCH_FOLLOW") != NULL;
	if (text)
		rounds = atoi(text);
	if (argc < 2 || rounds < 3 || rounds > MAX_SAMPLES / 2)
		die("see the head of bench.c");
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (sched_setscheduler(0, SCHED_FIFO, &first) || mlockall(MCL_CURRENT))
		die("priority: %s", strerror(errno));
	find_region();
	calibrate();

	if (!strcmp(argv[1], "mapping"))
		mapping(argv + 2);
	else if (!strcmp(argv[1], "ranges"))
		ranges();
	else if (!strcmp(argv[1], "devices"))
		devices(argv + 2);
	else if (!strcmp(argv[1], "lifecycle"))
		lifecycle();
	else if (!strcmp(argv[1], "bare"))
		bare();
	else if (!strcmp(argv[1], "files"))
		files(argv + 2);
	else if (!strcmp(argv[1], "whole"))
		whole();
	else if (!strcmp(argv[1], "huge"))
		huge();
	else if (!strcmp(argv[1], "load") && argc == 5)
		load(argv + 2);
	else if (!strcmp(argv[1], "all"))
		all(argv + 2);
	else if (!strcmp(argv[1], "guard"))
		guard();
	else
		die("there is no %s", argv[1]);
	return 0;
}
