// SPDX-License-Identifier: GPL-2.0
/* The parts "whole" and "huge" of the benchmark: operations on all entries of a large mapping. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static char *map_populated(const struct device *d, size_t length)
{
	char *p = map(d->fd, length);

	if (madvise(p, length, MADV_POPULATE_WRITE))
		die("MADV_POPULATE_WRITE: %s", strerror(errno));
	return p;
}

/* fork() of a process that has LENGTH bytes mapped. */
static void fork_whole(const struct device *d, size_t length, struct series *s)
{
	char *p = map_populated(d, length);

	for (int i = 0; i < 42; i++) {
		int status;
		pid_t pid;
		uint64_t count = COUNT(pid = fork());

		if (pid < 0)
			die("fork: %s", strerror(errno));
		if (!pid)
			_exit(0);
		if (waitpid(pid, &status, 0) != pid || status)
			die("the forked process failed");
		if (i >= 2)
			add(s, count);
	}
	unmap(p, length);
}

/* mremap() of a mapping whose entries exist, to another place and back. */
static void mremap_whole(const struct device *d, size_t length, struct series *s)
{
	size_t room = length + GIB;
	/* Not at a multiple of 1 GiB, where mm would move page tables as a whole. */
	char *free = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *to = aligned(free, GIB) + MIB2;
	char *p = map_populated(d, length), *from = p;

	for (int i = 0; i < 12; i++) {
		char *moved;
		uint64_t count = COUNT(moved = mremap(p, length, length,
						      MREMAP_MAYMOVE | MREMAP_FIXED, i % 2 ? from : to));

		if (moved == MAP_FAILED)
			die("mremap: %s", strerror(errno));
		p = moved;
		if (i >= 2)
			add(s, count);
	}
	unmap(p, length);
	unmap(free, room);
}

/* MADV_POPULATE_WRITE to FILL, and MADV_DONTNEED to CLEAR. */
static void advise(const struct device *d, size_t length, struct series *fill, struct series *clear)
{
	char *p = map(d->fd, length);

	for (int i = 0; i < 6; i++) {
		int failed;
		uint64_t count = COUNT(failed = madvise(p, length, MADV_POPULATE_WRITE));

		if (failed)
			die("MADV_POPULATE_WRITE: %s", strerror(errno));
		if (i)
			add(fill, count);
		count = COUNT(failed = madvise(p, length, MADV_DONTNEED));
		if (failed)
			die("MADV_DONTNEED: %s", strerror(errno));
		if (i)
			add(clear, count);
	}
	unmap(p, length);
}

/* The size that "populate" and "munmap" have in the other parts. */
static size_t usual(const struct device *d)
{
	return d->align == KIB4 ? 64 << 20 : d->align == MIB2 ? GIB : 16 * GIB;
}

static void advise_rows(const struct device *d)
{
	static struct series fill, clear;

	advise(d, usual(d), &fill, &clear);
	row("advise", d->name, &fill);
	row("dontneed", d->name, &clear);
}

static void fork_rows(const struct device *d)
{
	static struct series s;

	fork_whole(d, GIB, &s);
	/* The allocators have more to do in some forks than in others. */
	row_low("whole-fork", d->name, &s);
	mremap_whole(d, GIB, &s);
	row("whole-mremap", d->name, &s);
}

/* MAP_POPULATE of more and more MiB. */
static void fill_rows(const struct device *d)
{
	static const int stops[] = { 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024 };
	static struct series fill, clear;
	char key[16];

	snprintf(key, sizeof(key), "fill-%s", d->name);
	for (size_t i = 0; i < sizeof(stops) / sizeof(*stops); i++) {
		/* With --quick, only what does not take long. */
		if (d->align == KIB4 && stops[i] > 64 && rounds < 50)
			break;
		populate(d, (size_t)stops[i] << 20, &fill, &clear);
		row_at(key, stops[i], &fill);
		clear.n = 0;
	}
}

/* Map, populate and unmap eight entries, to show whose instructions these are. */
static void follow_whole(const struct device *d)
{
	size_t length = 8 * d->align;
	char key[16], *p;

	snprintf(key, sizeof(key), "populate-%s", d->name);
	FOLLOW(key, COUNT(p = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
				   d->fd, 0)));
	snprintf(key, sizeof(key), "munmap-%s", d->name);
	FOLLOW(key, COUNT(munmap(p, length)));
	p = map_populated(d, length);
	snprintf(key, sizeof(key), "dontneed-%s", d->name);
	FOLLOW(key, COUNT(madvise(p, length, MADV_DONTNEED)));
	unmap(p, length);
}

void whole(void)
{
	char small[] = "4k=/dev/dax0.0", large[] = "2m=/dev/dax0.0";
	struct device d = device_of(small, "4096", "1073741824");

	for (int i = 0; i < 2; i++) {
		advise_rows(&d);
		fork_rows(&d);
		fill_rows(&d);
		if (following)
			follow_whole(&d);
		close(d.fd);
		if (!i)
			d = device_of(large, "2097152", "1073741824");
	}
	close(d.fd);
}

/* The cheap ones of them, for the test "cost". */
void whole_guard(char *spec)
{
	static struct series s;
	struct device d = device_of(spec, "2097152", "1073741824");

	advise_rows(&d);
	mremap_whole(&d, GIB, &s);
	row("whole-mremap", d.name, &s);
	close(d.fd);
}

void huge(void)
{
	static struct series fill, clear;
	char spec[] = "1g=/dev/dax0.0";
	struct device d = device_of(spec, "1073741824", "17179869184");

	populate(&d, usual(&d), &fill, &clear);
	row("populate", d.name, &fill);
	row("munmap", d.name, &clear);
	advise_rows(&d);
	if (following)
		follow_whole(&d);
	close(d.fd);
}
