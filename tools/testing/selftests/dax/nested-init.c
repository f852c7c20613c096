// SPDX-License-Identifier: GPL-2.0
/*
 * nested-init: the first and only process of a virtual machine that runs inside a test.
 *
 * It loads the modules that it finds in /modules, in the order of their names. Then it reads commands
 * from the second serial port, one in a line, and answers each with a line: "ok", a value, or the name
 * of a failed step. The table near the end lists the commands. Numbers may begin with 0x.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#define PAGE 4096UL

static FILE *port;
static char *pattern;
static size_t filled;

static void answer(const char *text)
{
	fprintf(port, "%s\n", text);
	fflush(port);
}

static void answer_errno(const char *step)
{
	fprintf(port, "%s: %s\n", step, strerror(errno));
	fflush(port);
}

/* The first word of a file, or "". */
static const char *word_in(const char *path)
{
	static char word[128];
	FILE *file = fopen(path, "r");

	word[0] = 0;
	if (file) {
		if (fscanf(file, "%127s", word) != 1)
			word[0] = 0;
		fclose(file);
	}
	return word;
}

static void put_word(const char *path, const char *word)
{
	FILE *file = fopen(path, "w");

	if (file) {
		fputs(word, file);
		fclose(file);
	}
}

static unsigned long number(const char *text)
{
	return strtoul(text, NULL, 0);
}

/* memory: the kilobytes of memory that Linux has */
static void do_memory(char **arg)
{
	char line[128], value[32] = "?";
	FILE *file = fopen("/proc/meminfo", "r");

	if (file && fgets(line, sizeof(line), file))
		sscanf(line, "MemTotal: %31s", value);
	if (file)
		fclose(file);
	answer(value);
}

/* place TEXT: write TEXT to a new page; its physical address */
static void do_place(char **arg)
{
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int file = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry = 0;

	if (page == MAP_FAILED || file < 0 || mlock(page, PAGE))
		return answer_errno("place");
	snprintf(page, PAGE, "%s", arg[0]);
	if (pread(file, &entry, sizeof(entry), (uintptr_t)page / PAGE * sizeof(entry)) < 0)
		return answer_errno("pagemap");
	close(file);
	fprintf(port, "%#lx\n", (unsigned long)(entry & ((1UL << 55) - 1)) * PAGE);
	fflush(port);
}

/* fill MIB: allocate memory and fill it with a pattern */
static void do_fill(char **arg)
{
	size_t i;

	filled = number(arg[0]) << 20;
	pattern = mmap(NULL, filled, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pattern == MAP_FAILED || mlock(pattern, filled))
		return answer_errno("fill");
	for (i = 0; i < filled; i += sizeof(i))
		*(size_t *)(pattern + i) = i * 0x9e3779b97f4a7c15UL;
	answer("ok");
}

/* verify: compare that memory with the pattern */
static void do_verify(char **arg)
{
	size_t i;

	for (i = 0; i < filled; i += sizeof(i))
		if (*(size_t *)(pattern + i) != i * 0x9e3779b97f4a7c15UL)
			return answer("differs");
	answer(filled ? "ok" : "empty");
}

/* count: the number of these commands since the boot */
static void do_count(char **arg)
{
	static int count;

	fprintf(port, "%d\n", ++count);
	fflush(port);
}

/* word PATH: the first word of a file */
static void do_word(char **arg)
{
	answer(word_in(arg[0]));
}

/* put PATH OFFSET TEXT: write a page to a block device, past the page cache */
static void do_put(char **arg)
{
	static char page[PAGE] __attribute__((aligned(4096)));
	int file = open(arg[0], O_RDWR | O_DIRECT | O_SYNC);

	memset(page, 0, PAGE);
	snprintf(page, PAGE, "%s", arg[2]);
	if (file < 0 || pwrite(file, page, PAGE, number(arg[1])) != PAGE)
		answer_errno("put");
	else
		answer("ok");
	close(file);
}

/* get PATH OFFSET: read a text there */
static void do_get(char **arg)
{
	static char page[PAGE] __attribute__((aligned(4096)));
	int file = open(arg[0], O_RDONLY | O_DIRECT);

	if (file < 0 || pread(file, page, PAGE, number(arg[1])) != PAGE)
		answer_errno("get");
	else
		answer(page);
	close(file);
}

/* The memory of the PCI device ivshmem. */
static char *shared_memory(void)
{
	DIR *dir = opendir("/sys/bus/pci/devices");
	struct dirent *entry;
	char path[512], id[16];
	char *memory = MAP_FAILED;
	int file;

	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vendor", entry->d_name);
		snprintf(id, sizeof(id), "%.15s", word_in(path));
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/device", entry->d_name);
		if (strcmp(id, "0x1af4") || strcmp(word_in(path), "0x1110"))
			continue;
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/enable", entry->d_name);
		put_word(path, "1");
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource2", entry->d_name);
		file = open(path, O_RDWR);
		memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
		close(file);
	}
	if (dir)
		closedir(dir);
	return memory;
}

/* share TEXT: write TEXT to the start of the memory of ivshmem */
static void do_share(char **arg)
{
	char *memory = shared_memory();

	if (memory == MAP_FAILED)
		return answer_errno("share");
	strcpy(memory, arg[0]);
	munmap(memory, PAGE);
	answer("ok");
}

/* shared: read the text there */
static void do_shared(char **arg)
{
	char *memory = shared_memory();

	if (memory == MAP_FAILED)
		return answer_errno("shared");
	answer(memory);
	munmap(memory, PAGE);
}

/* off: end; with -no-reboot, QEMU ends when the machine reboots */
static void do_off(char **arg)
{
	answer("ok");
	tcdrain(fileno(port));
	sync();
	reboot(RB_AUTOBOOT);
}

static const struct {
	const char *name;
	void (*run)(char **arg);
	int args;
} commands[] = {
	{ "memory", do_memory, 0 }, { "place", do_place, 1 }, { "fill", do_fill, 1 },
	{ "verify", do_verify, 0 }, { "count", do_count, 0 }, { "word", do_word, 1 },
	{ "put", do_put, 3 }, { "get", do_get, 2 }, { "share", do_share, 1 },
	{ "shared", do_shared, 0 }, { "off", do_off, 0 },
};

static void load_modules(void)
{
	struct dirent **entries;
	int n = scandir("/modules", &entries, NULL, alphasort), i;

	for (i = 0; i < n; i++) {
		char path[512];
		int file;

		if (entries[i]->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/modules/%s", entries[i]->d_name);
		file = open(path, O_RDONLY);
		if (file < 0 || (syscall(SYS_finit_module, file, "", 0) && errno != EEXIST))
			perror(path);
		close(file);
	}
}

int main(void)
{
	struct termios raw;
	char line[512];
	FILE *in;

	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mkdir("/dev", 0755);
	mount("none", "/proc", "proc", 0, NULL);
	mount("none", "/sys", "sysfs", 0, NULL);
	mount("none", "/dev", "devtmpfs", 0, NULL);
	load_modules();

	in = fopen("/dev/ttyS1", "r");
	port = fopen("/dev/ttyS1", "w");
	if (!in || !port) {
		perror("/dev/ttyS1");
		reboot(RB_AUTOBOOT);
	}
	tcgetattr(fileno(port), &raw);
	cfmakeraw(&raw);
	tcsetattr(fileno(port), TCSANOW, &raw);
	answer("ready");
	while (fgets(line, sizeof(line), in)) {
		char *arg[4] = { strtok(line, " \r\n") };
		size_t i, n = 0;

		if (!arg[0])
			continue;
		while (n < 3 && (arg[n + 1] = strtok(NULL, " \r\n")))
			n++;
		for (i = 0; i < sizeof(commands) / sizeof(*commands); i++)
			if (!strcmp(arg[0], commands[i].name) && n == (size_t)commands[i].args)
				break;
		if (i < sizeof(commands) / sizeof(*commands))
			commands[i].run(arg + 1);
		else
			answer("no such command");
	}
	reboot(RB_AUTOBOOT);
	return 0;
}
