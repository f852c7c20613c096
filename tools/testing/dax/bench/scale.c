// SPDX-License-Identifier: GPL-2.0
/* The parts "load" and "all" of the benchmark: modules with devices, and all devices of a region. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

/* A module, in memory, so that loading it does not read from a disk. */
struct module {
	const char *path;
	char name[32];
	void *image;
	size_t size;
};

static struct module module_of(const char *path)
{
	struct module m = { .path = path };
	const char *name = strrchr(path, '/');
	int fd = open(path, O_RDONLY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || !name)
		die("%s: %s", path, strerror(errno));
	m.size = st.st_size;
	m.image = malloc(m.size);
	if (!m.image || read(fd, m.image, m.size) != (ssize_t)m.size)
		die("%s cannot be read", path);
	close(fd);
	snprintf(m.name, sizeof(m.name), "%.*s", (int)strcspn(name + 1, "."), name + 1);
	return m;
}

static int loaded(const struct module *m)
{
	return syscall(SYS_init_module, m->image, m->size, "");
}

static void unload(const struct module *m)
{
	if (syscall(SYS_delete_module, m->name, 0) && errno != ENOENT)
		die("%s cannot be unloaded: %s", m->name, strerror(errno));
}

static size_t nodes(void)
{
	glob_t found;
	size_t n = glob("/dev/dax[0-9]*.*", 0, NULL, &found) ? 0 : found.gl_pathc;

	if (n)
		globfree(&found);
	return n;
}

/* Load device_dax and dax_pmem, until there are COUNT nodes. The calls return when all devices are bound. */
void load(char **arguments)
{
	static struct series s;
	int count = atoi(arguments[0]);
	struct module device_dax = module_of(arguments[1]), dax_pmem = module_of(arguments[2]);

	for (int i = 0; i < 7; i++) {
		int bad;
		uint64_t cost;

		unload(&device_dax);
		unload(&dax_pmem);
		if (nodes())
			die("there are nodes without a driver");
		cost = COUNT(bad = loaded(&device_dax) || loaded(&dax_pmem));
		if (bad)
			die("a module cannot be loaded: %s", strerror(errno));
		if (nodes() != (size_t)count)
			die("there are %zu nodes instead of %d", nodes(), count);
		if (i >= 2)
			add(&s, cost);
	}
	row_at("load", count, &s);
}

/* The instructions of a command. */
static uint64_t count_command(const char *command)
{
	int status;
	pid_t pid;
	uint64_t count;

	count = COUNT(({
		pid = fork();
		if (!pid) {
			execl("/bin/sh", "sh", "-c", command, NULL);
			_exit(127);
		}
		waitpid(pid, &status, 0);
	}));
	if (pid < 0 || status)
		die("%s fails", command);
	return count;
}

/* The size of a module; 0 if it is not loaded. */
static uint64_t size_of_module(const char *name)
{
	char path[64], text[32];

	snprintf(path, sizeof(path), "/sys/module/%s", name);
	return get(path, "coresize", text, sizeof(text)) < 0 ? 0 : strtoull(text, NULL, 0);
}

/*
 * Bytes that the kernel has allocated, without caches that it can drop, and the modules. The memory of
 * modules is not taken from VmallocUsed, because the kernel keeps it when they are unloaded.
 */
static uint64_t resident(void)
{
	uint64_t tables = 0, percpu = 0, vmalloc = 0, all;
	char line[256];
	FILE *f;

	put("/proc/sys/vm", "drop_caches", "3");
	all = allocated() + size_of_module("dax_hmem") + size_of_module("device_dax");
	f = fopen("/proc/meminfo", "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "PageTables: %lu", &tables) != 1 &&
		    sscanf(line, "VmallocUsed: %lu", &vmalloc) != 1)
			sscanf(line, "Percpu: %lu", &percpu);
	}
	if (!f)
		die("/proc/meminfo: %s", strerror(errno));
	fclose(f);
	return all + (tables + percpu - vmalloc) * 1024;
}

/* Add the cost of an operation to SUM; stop at an error. */
static void sum_up(uint64_t *sum, int64_t cost, int id)
{
	if (cost < 0)
		die("%s of device %d: %s", failed, id, strerror(errno));
	*sum += cost;
}

/* Load the modules, and take the memory from the device that has all of it. */
static void start(void)
{
	count_command("modprobe -a dax_hmem device_dax");
	find_region();
	if (empty_device())
		die("%s: %s", failed, strerror(errno));
}

/* All devices of a region come, are listed, and go. */
void all(char **stops)
{
	static struct series s;
	uint64_t before = 0;		/* the memory with one device */

	/* Once before, because the first time leaves objects in caches. */
	start();
	count_command("rmmod device_dax dax_hmem");
	start();
	for (; *stops; stops++) {
		int count = atoi(*stops);
		uint64_t create = 0, destroy = 0;

		sum_up(&create, set_size(0, "2097152"), 0);
		for (int i = 1; i < count; i++) {
			sum_up(&create, create_device(), i);
			sum_up(&create, set_size(i, "2097152"), i);
		}
		add(&s, create);
		row_at("create-all", count, &s);
		if (count == 1)
			before = resident();
		if (count >= 1000 && before) {
			add(&s, resident() - before);
			row_at("resident", count, &s);
		}
		if (count > 1) {
			/* The first time brings its files into memory. */
			count_command("daxctl list >/tmp/list");
			add(&s, count_command("daxctl list >/tmp/list"));
			row_at("list-all", count, &s);
		}
		for (int i = 0; i < count; i++) {
			sum_up(&destroy, empty(i), i);
			if (i)
				sum_up(&destroy, delete_device(i), i);
		}
		add(&s, destroy);
		row_at("destroy-all", count, &s);
	}
}
