// SPDX-License-Identifier: GPL-2.0
/*
 * powercut: a log of records in persistent memory, for the test of power cuts.
 *
 *	powercut count  PATH SEED [SIZE]
 *	powercut append PATH SEED NAME [SIZE] [nosync] [early] [sealed]
 *
 * "count" prints the number of complete records before the first incomplete one. "append"
 * appends records after these until it is killed. It reports each record on descriptor 3, as
 * "NAME NUMBER", when clwb and sfence have made it durable. With SIZE, the log is a device of
 * SIZE bytes. Without SIZE it is a growing file, mapped with MAP_SYNC; page faults allocate its
 * blocks.
 *
 * With "sealed", the log is a file of SIZE bytes that daxfile has sealed; DAXFILE_FD is its
 * descriptor. Nothing calls fsync() or msync() on it. A full one is not an error.
 *
 * To prove that the test can fail, "nosync" maps the file without MAP_SYNC, and "early" reports
 * a record before it is written.
 *
 * The seed and its number determine the contents of a record, so other data cannot pass for it.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif

#define LINE 64
#define PAGE 4096

/* The largest record has 64 lines. */
struct record {
	uint64_t seed;
	uint64_t number;
	uint64_t len;
	/* The checksum of all other words. */
	uint64_t checksum;
	uint64_t data[(64 * LINE - 32) / 8];
};

struct log {
	const char *path;
	uint64_t seed;
	int fd;
	/* The log is a file that daxfile has sealed. */
	bool sealed;
	/* The log is a file that grows; its size so far. */
	bool grows;
	uint64_t size;
	/* The mapped part of the file, and its address. */
	char *map;
	uint64_t from, to;
	int flags;
};

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static void make(struct record *r, uint64_t seed, uint64_t number)
{
	uint64_t state = mix(seed + number * 0x9e3779b97f4a7c15ull), sum;
	size_t words;

	r->seed = seed;
	r->number = number;
	r->len = LINE * (1 + state % 64);
	words = (r->len - offsetof(struct record, data)) / 8;
	sum = mix(mix(r->seed) + r->number) + r->len;
	for (size_t i = 0; i < words; i++) {
		state = mix(state + i);
		r->data[i] = state;
		sum = (sum << 1 | sum >> 63) ^ state;
	}
	r->checksum = sum;
}

static void map(struct log *log, uint64_t from, uint64_t to)
{
	if (log->map)
		munmap(log->map, log->to - log->from);
	log->map = NULL;
	log->from = from;
	log->to = to;
	if (from == to)
		return;
	log->map = mmap(NULL, to - from, PROT_READ | PROT_WRITE, log->flags, log->fd, from);
	if (log->map == MAP_FAILED)
		err(1, "mmap %s from %#lx to %#lx", log->path, from, to);
}

/* Count the complete records; *AT becomes the end of the last one. */
static uint64_t count(struct log *log, uint64_t *at)
{
	struct record want;
	uint64_t n;

	*at = 0;
	map(log, 0, log->size);
	for (n = 0;; n++, *at += want.len) {
		make(&want, log->seed, n);
		if (*at + want.len > log->size || memcmp(log->map + *at, &want, want.len))
			return n;
	}
}

/* Extend the file, and map the new part and the page in which the log ends. */
static void grow(struct log *log, uint64_t at)
{
	if (log->sealed)
		for (;;)
			pause();
	if (!log->grows)
		errx(1, "%s is full", log->path);
	log->size += PAGE << mix(log->seed + log->size) % 10;
	if (ftruncate(log->fd, log->size))
		err(1, "ftruncate %s to %#lx", log->path, log->size);
	map(log, at & ~(PAGE - 1ull), log->size);
}

static void flush(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i += LINE)
		asm volatile("clwb %0" : : "m"(p[i]) : "memory");
	asm volatile("sfence" : : : "memory");
}

static void report(const char *name, uint64_t number)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "%s %lu\n", name, number);

	if (write(3, line, n) != n)
		err(1, "report");
}

static void append(struct log *log, const char *name, bool early)
{
	struct record r;
	uint64_t at, n;

	for (n = count(log, &at);; n++, at += r.len) {
		char *p;

		make(&r, log->seed, n);
		while (at + r.len > log->size)
			grow(log, at);
		if (early) {
			report(name, n);
			usleep(100000);
		}
		p = log->map + (at - log->from);
		memcpy(p, &r, r.len);
		flush(p, r.len);
		if (!early)
			report(name, n);
	}
}

static void open_log(struct log *log)
{
	struct stat st;
	char *dir = strdup(log->path), *sealed = getenv("DAXFILE_FD");
	int fd;

	if (log->sealed) {
		if (!sealed)
			errx(2, "%s is not sealed", log->path);
		log->fd = atoi(sealed);
		return;
	}
	log->fd = open(log->path, log->grows ? O_RDWR | O_CREAT : O_RDWR, 0600);
	if (log->fd < 0 || fstat(log->fd, &st))
		err(1, "%s", log->path);
	if (!log->grows)
		return;
	log->size = st.st_size;
	/* MAP_SYNC does not make the directory entry durable; fsync() does. */
	*strrchr(dir, '/') = 0;
	fd = open(dir, O_RDONLY);
	if (fd < 0 || fsync(log->fd) || fsync(fd))
		err(1, "fsync %s", log->path);
	close(fd);
	free(dir);
}

int main(int argc, char **argv)
{
	bool appends = argc > 4 && !strcmp(argv[1], "append"), early = false;
	unsigned int eax, ebx = 0, ecx, edx;
	struct log log = { .grows = true, .flags = MAP_SHARED_VALIDATE | MAP_SYNC };
	uint64_t at;

	if (!appends && (argc < 4 || strcmp(argv[1], "count")))
		errx(2, "say count or append");
	if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !(ebx & bit_CLWB))
		errx(2, "this processor has no clwb");
	log.path = argv[2];
	log.seed = strtoull(argv[3], NULL, 0);
	for (int i = 4 + appends; i < argc; i++) {
		if (!strcmp(argv[i], "nosync")) {
			log.flags = MAP_SHARED;
		} else if (!strcmp(argv[i], "early")) {
			early = true;
		} else if (!strcmp(argv[i], "sealed")) {
			log.sealed = true;
			log.flags = MAP_SHARED;
		} else {
			log.grows = false;
			log.size = strtoull(argv[i], NULL, 0);
		}
	}
	open_log(&log);
	if (appends)
		append(&log, argv[4], early);
	printf("%lu\n", count(&log, &at));
	return 0;
}
