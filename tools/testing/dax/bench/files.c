// SPDX-License-Identifier: GPL-2.0
/* The part "files" of the benchmark: files in a file system on persistent memory. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/daxfile.h>

#include "bench.h"

static int sealed(const char *path, size_t align)
{
	struct daxfile_seal arg = { .align = align };
	int control = open("/dev/daxfile", O_RDWR), fd;

	arg.fd = open(path, O_RDONLY);
	fd = ioctl(control, DAXFILE_SEAL, &arg);
	if (fd < 0)
		die("%s cannot be sealed: %s", path, strerror(errno));
	close(arg.fd);
	close(control);
	return fd;
}

static int opened(const char *path)
{
	int fd = open(path, O_RDWR);

	if (fd < 0)
		die("open of %s: %s", path, strerror(errno));
	return fd;
}

/* First touches, as row KEY-FS-ACCESS-NAME. */
static void touch_rows(const char *key, const char *fs, const struct device *d, int write)
{
	static struct series s;
	char name[32];

	first_touch(d, write, &s);
	snprintf(name, sizeof(name), "%s-%s-%s", key, fs, write ? "write" : "read");
	row(name, d->name, &s);
}

/* pread() and pwrite() of parts of a file, in a file that has all its blocks. */
static void copy_rows(const char *fs, int fd)
{
	static const struct {
		const char *name;
		size_t length;
	} sizes[] = { { "4k", KIB4 }, { "64k", 16 * KIB4 }, { "2m", MIB2 } };
	static struct series s;
	/* Not static: fork() would copy it, as one huge page or as many small ones. */
	char *room = mmap(NULL, 2 * MIB2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *buffer = aligned(room, MIB2);
	char key[32];

	if (room == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	memset(buffer, 1, MIB2);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		for (int write = 0; write < 2; write++) {
			size_t length = sizes[i].length;

			for (int j = 0; j < rounds + 2; j++) {
				off_t at = (size_t)j % 31 * MIB2;
				ssize_t done;
				uint64_t count;

				count = write ? COUNT(done = pwrite(fd, buffer, length, at))
					      : COUNT(done = pread(fd, buffer, length, at));
				if (done != (ssize_t)length)
					die("copy of %zu bytes, %s: %s", length, fs, strerror(errno));
				if (j >= 2)
					add(&s, count);
			}
			snprintf(key, sizeof(key), "%s-%s", write ? "pwrite" : "pread", fs);
			row_low(key, sizes[i].name, &s);
		}
	if (following && !strcmp(fs, "ext4")) {
		FOLLOW("pread-ext4", COUNT(pread(fd, buffer, KIB4, 0)));
		FOLLOW("pwrite-ext4", COUNT(pwrite(fd, buffer, KIB4, 0)));
	}
	munmap(room, 2 * MIB2);
}

/* The rows of one file, of SIZE bytes: sealed if SEAL is true, mapped, and mapped with MAP_SYNC. */
static void file_rows(const char *fs, const char *directory, const char *name, size_t align,
		      size_t size, int seal)
{
	struct device d = { .name = name, .align = align, .window = size,
			    .stride = align == KIB4 ? 32 * KIB4 : 4 * MIB2 };
	char path[64];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	if (access(path, F_OK))		/* a file system with one file */
		snprintf(path, sizeof(path), "%s/data", directory);
	if (seal) {
		d.fd = sealed(path, align);
		touch_rows("sealed", fs, &d, 0);
		touch_rows("sealed", fs, &d, 1);
		close(d.fd);
	}
	d.fd = opened(path);
	if (align == MIB2)
		copy_rows(fs, d.fd);
	d.flags = MAP_SHARED;
	touch_rows("page", fs, &d, 0);
	touch_rows("page", fs, &d, 1);
	if (strcmp(fs, "onefile")) {
		d.flags = MAP_SHARED_VALIDATE | MAP_SYNC;
		touch_rows("sync", fs, &d, 1);
	}
	close(d.fd);
}

void files(char **mounts)
{
	int seal = !access("/dev/daxfile", F_OK);

	for (; *mounts; mounts++) {
		char *directory = strchr(*mounts, '=');

		if (!strcmp(*mounts, "-")) {
			seal = 0;
			continue;
		}
		if (!directory)
			die("%s is not FS=DIRECTORY", *mounts);
		*directory++ = 0;
		file_rows(*mounts, directory, "4k", KIB4, 64 << 20, seal);
		file_rows(*mounts, directory, "2m", MIB2, 256 << 20, seal);
	}
}
