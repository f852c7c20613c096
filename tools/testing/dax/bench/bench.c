// SPDX-License-Identifier: GPL-2.0
/*
 * Counts the instructions that operations on device DAX take.
 *
 * It runs in a machine whose TSC advances one tick per instruction (QEMU's
 * icount), so a difference of two readings is the number of instructions in
 * between, user and kernel together, the same on every run. Readings with a
 * timer interrupt in between exist; medians leave them out.
 *
 *   bench mapping ALIGN=DEVICE...	faults, mmap, open, of devices by align
 *   bench ranges			faults in a device of many ranges
 *   bench sizing			devices of a dynamic region
 *   bench mark ALIGN=DEVICE read|write	one fault, between two calls of marked()
 *
 * One line per row on standard output:
 *
 *   KEY MEDIAN MINIMUM MAXIMUM SAMPLES
 *   KEY - WHY		the kernel does not do this
 *
 * BENCH_ROUNDS in the environment is the number of samples of a row.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define KIB4 (1UL << 12)
#define MIB2 (1UL << 21)
#define GIB (1UL << 30)
#define MAX_SAMPLES 4096

static int rounds = 101;

__attribute__((format(printf, 1, 2), noreturn))
static void die(const char *format, ...)
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

static uint64_t overhead;

static inline __attribute__((always_inline)) uint64_t now(void)
{
	uint32_t low, high;

	asm volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

/* The instructions that OPERATION takes. */
#define COUNT(operation) ({ \
	uint64_t begun = now(); \
	operation; \
	now() - begun - overhead; \
})

/* What was counted of one operation; it must not grow while something is counted. */
struct series {
	int n;
	uint64_t at[MAX_SAMPLES];
};

static void add(struct series *s, uint64_t count)
{
	if (s->n < MAX_SAMPLES)
		s->at[s->n++] = count;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t median(struct series *s)
{
	qsort(s->at, s->n, sizeof(*s->at), ascending);
	return s->at[s->n / 2];
}

/* Print the row KEY-NAME of what was counted, and begin anew. */
static void row(const char *key, const char *name, struct series *s)
{
	if (!s->n)
		die("%s-%s was not measured", key, name);
	printf("%s-%s %lu", key, name, median(s));
	printf(" %lu %lu %d\n", s->at[0], s->at[s->n - 1], s->n);
	s->n = 0;
}

static void row_at(const char *key, int where, struct series *s)
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

static char *map(int fd, size_t length)
{
	char *p = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		die("mmap of %zu bytes: %s", length, strerror(errno));
	return p;
}

static void unmap(void *p, size_t length)
{
	if (munmap(p, length))
		die("munmap: %s", strerror(errno));
}

#define READ(p) ((void)*(volatile char *)(p))
#define WRITE(p) (*(volatile char *)(p) = 1)

/* A device and how it is used here. */
struct device {
	const char *name, *path;
	size_t align, window;
	size_t stride;		/* between touches that have nothing to do with each other */
	int fd;
};

/*
 * The first touch of entries of a mapping. Those that need a new page table are
 * few; the median is an entry that does not.
 */
static void first_touch(const struct device *d, int write, struct series *s)
{
	s->n = 0;
	for (int i = 0; i < 3 || s->n < rounds; i++) {
		char *p = map(d->fd, d->window);

		for (size_t at = 0; at < d->window; at += d->stride) {
			uint64_t count = write ? COUNT(WRITE(p + at)) : COUNT(READ(p + at));

			if (i >= 2)	/* what came before is the warm-up */
				add(s, count);
		}
		unmap(p, d->window);
	}
}

/* First touches, page after page; what is counted is one page's share of all of them. */
static void touch_in_sequence(const struct device *d, int write, struct series *s)
{
	for (int i = 0; i < 13; i++) {
		size_t length = 2 * MIB2;
		char *p = map(d->fd, length), *end = p + length;
		uint64_t count;

		if (write)
			count = COUNT(for (char *at = p; at < end; at += KIB4) WRITE(at));
		else
			count = COUNT(for (char *at = p; at < end; at += KIB4) READ(at));
		if (i >= 2)
			add(s, count / (length / KIB4));
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
			/* The first makes the page table. */
			READ(p);
			*result = COUNT(READ(p + d->stride));
			_exit(0);
		}
		if (waitpid(pid, &status, 0) != pid || status)
			die("the forked process failed");
		add(s, *result);
		unmap(p, d->window);
	}
	unmap(result, KIB4);
}

static void populate(const struct device *d, size_t length, struct series *fill,
		     struct series *clear)
{
	for (int i = 0; i < 7; i++) {
		uint64_t count;
		char *p;

		count = COUNT(p = mmap(NULL, length, PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_POPULATE, d->fd, 0));
		if (p == MAP_FAILED)
			die("mmap with MAP_POPULATE: %s", strerror(errno));
		if (i >= 2)
			add(fill, count);
		count = COUNT(munmap(p, length));
		if (i >= 2)
			add(clear, count);
	}
}

static void mmap_munmap(const struct device *d, struct series *s)
{
	for (int i = 0; i < rounds + 2; i++) {
		void *p;
		uint64_t count = COUNT((p = mmap(NULL, d->align, PROT_READ | PROT_WRITE,
						 MAP_SHARED, d->fd, 0),
					munmap(p, d->align)));

		if (i >= 2)
			add(s, count);
	}
}

static void open_close(const struct device *d, struct series *s)
{
	for (int i = 0; i < rounds + 2; i++) {
		uint64_t count = COUNT(close(open(d->path, O_RDWR)));

		if (i >= 2)
			add(s, count);
	}
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
	d.stride = d.align == KIB4 ? 32 * KIB4 : d.align;
	d.fd = open(d.path, O_RDWR);
	if (d.fd < 0)
		die("open of %s: %s", d.path, strerror(errno));
	return d;
}

static void mapping(char **devices)
{
	static struct series s, clear;

	for (; *devices; devices++) {
		struct device d = the_device(*devices);

		mmap_munmap(&d, &s);
		row("mmap", d.name, &s);
		open_close(&d, &s);
		row("open", d.name, &s);
		first_touch(&d, 0, &s);
		row("read", d.name, &s);
		first_touch(&d, 1, &s);
		row("write", d.name, &s);
		if (d.align == KIB4) {
			touch_in_sequence(&d, 0, &s);
			row("sequence-read", d.name, &s);
			touch_in_sequence(&d, 1, &s);
			row("sequence-write", d.name, &s);
		}
		if (d.align < GIB) {
			/* An entry of 1 GiB is copied by fork; there is no fault. */
			touch_after_fork(&d, &s);
			row("fork", d.name, &s);
			populate(&d, d.window, &s, &clear);
			row("populate", d.name, &s);
			row("munmap", d.name, &clear);
		}
		close(d.fd);
	}
}

/* Devices of a dynamic region, by sysfs */

#define DRIVER "/sys/bus/dax/drivers/device_dax"

static char region[4096];		/* the folder of the region's attributes */
static const char *failed = "nothing";	/* what refused; errno says why */

/* The folder of a device's attributes. */
static const char *device(int id)
{
	static char path[64];

	snprintf(path, sizeof(path), "/sys/bus/dax/devices/dax0.%d", id);
	return path;
}

/*
 * Write VALUE to an attribute, or read it to TEXT: open, write or read, and
 * close as one operation, without the way to the folder; -1 when it is refused.
 */
static int64_t access_attribute(const char *folder, const char *name, const char *value,
				char *text, size_t size)
{
	int at = open(folder, O_PATH | O_DIRECTORY), fd, error;
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

static int64_t put(const char *folder, const char *name, const char *value)
{
	return access_attribute(folder, name, value, NULL, 0);
}

static int64_t get(const char *folder, const char *name, char *text, size_t size)
{
	return access_attribute(folder, name, NULL, text, size);
}

static int64_t set_size(int id, const char *size)
{
	return put(device(id), "size", size);
}

static int64_t create_device(void)
{
	return put(region, "create", "1");
}

static int64_t delete_device(int id)
{
	char name[32];

	snprintf(name, sizeof(name), "dax0.%d", id);
	return put(region, "delete", name);
}

/* Take dax0.0 from its driver, if it has one, and leave it without memory. */
static int empty_device(void)
{
	put(DRIVER, "unbind", "dax0.0");
	return set_size(0, "0") < 0 ? -1 : 0;
}

/* Print that the kernel does not do these rows, and why. */
static int refuse(const char *key, int where)
{
	printf("%s-%d - %s: %s\n", key, where, failed, strerror(errno));
	return -1;
}

static int add_ranges(int count, struct series *s)
{
	char text[64];
	uint64_t start;

	if (get(device(0), "mapping0/start", text, sizeof(text)) < 0 || empty_device())
		return -1;
	start = strtoull(text, NULL, 0);
	/* Every other 2 MiB, so that no two ranges can be taken for one. */
	for (int i = 0; i < count; i++) {
		uint64_t at = start + 2 * i * MIB2;
		int64_t cost;

		snprintf(text, sizeof(text), "%#lx-%#lx", at, at + MIB2 - 1);
		cost = put(device(0), "mapping", text);
		if (cost < 0)
			return -1;
		if (i >= count - 9)
			add(s, cost);
	}
	/* This driver, and no other, for dax0.0: that binds it. */
	return put(DRIVER, "new_id", "dax0.0") < 0 ? -1 : 0;
}

static void ranges(void)
{
	static const int which[] = { 1, 100, 500, 1000 };
	static struct series s;
	size_t length = 1000 * MIB2;
	int fd;

	if (add_ranges(1000, &s)) {
		refuse("mapping", 1000);
		for (int w = 0; w < 4; w++)
			refuse("range", which[w]);
		return;
	}
	row_at("mapping", 1000, &s);
	fd = open("/dev/dax0.0", O_RDWR);
	if (fd < 0)
		die("open of /dev/dax0.0: %s", strerror(errno));
	for (int w = 0; w < 4; w++) {
		for (int i = 0; i < rounds; i++) {
			char *p = map(fd, length);
			char *at = p + (which[w] - 1) * MIB2;

			/* The neighbour's touch makes the page table. */
			READ(which[w] % 2 ? at + MIB2 : at - MIB2);
			add(&s, COUNT(READ(at)));
			unmap(p, length);
		}
		row_at("range", which[w], &s);
	}
	close(fd);
}

#define SIZE 1
#define AVAILABLE 2
#define CREATE 4

static const struct stop {
	int count, what;
} stops[] = {
	{ 10, SIZE | AVAILABLE },
	{ 100, CREATE },
	{ 1000, SIZE | AVAILABLE | CREATE },
	{ 2000, SIZE | AVAILABLE | CREATE },
};

/* The last of the devices loses its memory and gets it again. */
static int size_row(int count, struct series *s)
{
	for (int i = 0; i < rounds; i++) {
		int64_t cost = set_size(count - 1, "0");

		if (cost >= 0)
			cost = set_size(count - 1, "2097152");
		if (cost < 0)
			return refuse("size", count);
		if (i)
			add(s, cost);
	}
	row_at("size", count, s);
	return 0;
}

static int available_row(int count, struct series *s)
{
	for (int i = 0; i < rounds; i++) {
		char text[32];
		int64_t cost = get(region, "available_size", text, sizeof(text));

		if (cost < 0)
			return refuse("available", count);
		if (i)
			add(s, cost);
	}
	row_at("available", count, s);
	return 0;
}

/* One more device, without memory, and away with it. */
static int create_row(int count, struct series *s)
{
	static struct series deleting;

	for (int i = 0; i < rounds; i++) {
		int64_t cost = create_device(), end = -1;

		if (cost >= 0)
			end = delete_device(count);
		if (end < 0) {
			refuse("create", count);
			return refuse("delete", count);
		}
		if (i) {
			add(s, cost);
			add(&deleting, end);
		}
	}
	row_at("create", count, s);
	row_at("delete", count, &deleting);
	return 0;
}

/* Give the region COUNT devices of 2 MiB. */
static int make_devices(int count)
{
	static int have;

	if (!have) {
		if (empty_device() || set_size(0, "2097152") < 0)
			return -1;
		have = 1;
	}
	for (; have < count; have++)
		if (create_device() < 0 || set_size(have, "2097152") < 0)
			return -1;
	return 0;
}

static void sizing(void)
{
	static struct series s;

	for (const struct stop *stop = stops; stop < stops + 4; stop++) {
		if (make_devices(stop->count)) {
			for (; stop < stops + 4; stop++) {
				if (stop->what & SIZE)
					refuse("size", stop->count);
				if (stop->what & AVAILABLE)
					refuse("available", stop->count);
				if (stop->what & CREATE) {
					refuse("create", stop->count);
					refuse("delete", stop->count);
				}
			}
			return;
		}
		if (stop->what & AVAILABLE)
			available_row(stop->count, &s);
		if (stop->what & SIZE)
			size_row(stop->count, &s);
		if (stop->what & CREATE)
			create_row(stop->count, &s);
		s.n = 0;
	}
}

/* One fault, to be followed from outside: the first one after marked(). */

__attribute__((noinline)) void marked(void)
{
	asm volatile("" : : : "memory");
}

static void mark(char *spec, int write)
{
	struct device d = the_device(spec);
	char *p = map(d.fd, d.window);

	for (size_t i = 0; i < 8; i++)
		READ(p + i * d.stride);
	p += 8 * d.stride;
	marked();
	if (write)
		WRITE(p);
	else
		READ(p);
	marked();
}

int main(int argc, char **argv)
{
	struct sched_param first = { .sched_priority = 50 };
	const char *text = getenv("BENCH_ROUNDS");

	/* The same addresses on each run: the shape of the kernel's trees depends on them. */
	if (!(personality(0xffffffff) & ADDR_NO_RANDOMIZE)) {
		personality(ADDR_NO_RANDOMIZE);
		execv("/proc/self/exe", argv);
		die("exec: %s", strerror(errno));
	}
	if (text)
		rounds = atoi(text);
	if (argc < 2 || rounds < 3 || rounds > MAX_SAMPLES / 2)
		die("see the head of bench.c");
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (sched_setscheduler(0, SCHED_FIFO, &first) || mlockall(MCL_CURRENT))
		die("priority: %s", strerror(errno));
	realpath("/sys/bus/dax/devices/dax0.0/../dax_region", region);
	calibrate();

	if (!strcmp(argv[1], "mapping"))
		mapping(argv + 2);
	else if (!strcmp(argv[1], "ranges"))
		ranges();
	else if (!strcmp(argv[1], "sizing"))
		sizing();
	else if (!strcmp(argv[1], "mark") && argc == 4)
		mark(argv[2], !strcmp(argv[3], "write"));
	else
		die("there is no %s", argv[1]);
	return 0;
}
