// SPDX-License-Identifier: GPL-2.0
/*
 * transfer: let the kernel move data between a mapping of a device and something else.
 *
 *	transfer DEVICE ALIGN LENGTH HOW [FILE]
 *
 * It maps the first LENGTH bytes of the device, rounded up to ALIGN, twice. The data goes through the
 * first mapping; the second one is for making and checking it. HOW is a name in the table near the end.
 * FILE is a file on a file system with O_DIRECT. The status is 0 if all data arrived; a line says what
 * went wrong.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static char *memory, *view;
static size_t length;
static const char *path;

static void fail(const char *format, ...)
{
	va_list list;
	int error = errno;

	va_start(list, format);
	vprintf(format, list);
	va_end(list);
	printf(" (errno: %s)\n", strerror(error));
	exit(1);
}

static uint64_t word(size_t at, uint64_t seed)
{
	return (at + seed) * 0x9e3779b97f4a7c15UL ^ seed;
}

static void make(char *where, uint64_t seed)
{
	size_t at;

	for (at = 0; at < length; at += sizeof(uint64_t))
		*(uint64_t *)(where + at) = word(at, seed);
}

static void compare(const char *where, uint64_t seed, const char *what)
{
	size_t at;

	errno = 0;
	for (at = 0; at < length; at += sizeof(uint64_t))
		if (*(uint64_t *)(where + at) != word(at, seed))
			fail("%s is wrong at %#zx", what, at);
}

static int file(int flags)
{
	int fd = open(path, flags, 0600);

	if (fd < 0)
		fail("open(%s)", path);
	return fd;
}

static char *other(void)
{
	char *buffer = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (buffer == MAP_FAILED)
		fail("mmap");
	return buffer;
}

/* Fill the file, without the device. */
static void make_file(uint64_t seed)
{
	char *buffer = other();
	int fd = file(O_WRONLY | O_CREAT | O_TRUNC);

	make(buffer, seed);
	if (write(fd, buffer, length) != (ssize_t)length || fsync(fd))
		fail("writing the file");
	close(fd);
}

static void compare_file(uint64_t seed)
{
	char *buffer = other();
	int fd = file(O_RDONLY);

	if (read(fd, buffer, length) != (ssize_t)length)
		fail("reading the file");
	compare(buffer, seed, "the file");
	close(fd);
}

static void direct_out(void)
{
	int fd = file(O_RDWR | O_CREAT | O_TRUNC | O_DIRECT);

	make(view, 1);
	if (write(fd, memory, length) != (ssize_t)length)
		fail("write");
	close(fd);
	compare_file(1);
}

static void direct_in(void)
{
	int fd;

	make_file(2);
	fd = file(O_RDONLY | O_DIRECT);
	if (read(fd, memory, length) != (ssize_t)length)
		fail("read");
	close(fd);
	compare(view, 2, "the device");
}

/* One request of io_uring with a registered buffer: opcode, file. */
static void fixed(int opcode, int fd)
{
	struct io_uring_params params = {};
	struct iovec part = { memory, length };
	struct io_uring_sqe *entry;
	struct io_uring_cqe *done;
	char *ring;
	size_t size;
	int uring = syscall(SYS_io_uring_setup, 1, &params);

	if (uring < 0)
		fail("io_uring_setup");
	if (syscall(SYS_io_uring_register, uring, IORING_REGISTER_BUFFERS, &part, 1))
		fail("registering the buffer");
	size = params.cq_off.cqes + params.cq_entries * sizeof(*done);
	if (size < params.sq_off.array + params.sq_entries * sizeof(uint32_t))
		size = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
	ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, uring, IORING_OFF_SQ_RING);
	entry = mmap(NULL, params.sq_entries * sizeof(*entry), PROT_READ | PROT_WRITE, MAP_SHARED, uring,
		     IORING_OFF_SQES);
	if (ring == MAP_FAILED || entry == MAP_FAILED)
		fail("mmap of the ring");
	*entry = (struct io_uring_sqe) {
		.opcode = opcode, .fd = fd, .addr = (uintptr_t)memory, .len = length, .buf_index = 0,
	};
	*(uint32_t *)(ring + params.sq_off.array) = 0;
	__atomic_store_n((uint32_t *)(ring + params.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, uring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
		fail("io_uring_enter");
	done = (struct io_uring_cqe *)(ring + params.cq_off.cqes);
	if (done->res != (int)length)
		fail("the request ended with %d", done->res);
	close(uring);
}

static void fixed_out(void)
{
	int fd = file(O_RDWR | O_CREAT | O_TRUNC | O_DIRECT);

	make(view, 3);
	fixed(IORING_OP_WRITE_FIXED, fd);
	close(fd);
	compare_file(3);
}

static void fixed_in(void)
{
	int fd;

	make_file(4);
	fd = file(O_RDONLY | O_DIRECT);
	fixed(IORING_OP_READ_FIXED, fd);
	close(fd);
	compare(view, 4, "the device");
}

static pid_t waiting;

static void end_child(void)
{
	kill(waiting, SIGKILL);
	waitpid(waiting, NULL, 0);
}

/* A child that has the mapping, and waits until the parent ends. */
static pid_t child(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		fail("fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* No signal comes if the parent has died before. */
		while (getppid() == parent)
			pause();
		_exit(1);
	}
	waiting = pid;
	atexit(end_child);
	return pid;
}

static void vm_read(void)
{
	char *buffer = other();
	struct iovec here = { buffer, length }, there = { memory, length };
	pid_t pid = child();

	make(view, 5);
	if (process_vm_readv(pid, &here, 1, &there, 1, 0) != (ssize_t)length)
		fail("process_vm_readv");
	compare(buffer, 5, "what was read");
}

static void vm_write(void)
{
	char *buffer = other();
	struct iovec here = { buffer, length }, there = { memory, length };
	pid_t pid = child();

	make(buffer, 6);
	if (process_vm_writev(pid, &here, 1, &there, 1, 0) != (ssize_t)length)
		fail("process_vm_writev");
	compare(view, 6, "the device");
}

static void trace(void)
{
	size_t at, step = length / 64;
	pid_t pid = child();

	make(view, 7);
	if (ptrace(PTRACE_ATTACH, pid, NULL, NULL) || waitpid(pid, NULL, 0) != pid)
		fail("PTRACE_ATTACH");
	for (at = 0; at < length; at += step) {
		errno = 0;
		if ((uint64_t)ptrace(PTRACE_PEEKDATA, pid, memory + at, NULL) != word(at, 7))
			fail("PTRACE_PEEKDATA at %#zx", at);
		if (ptrace(PTRACE_POKEDATA, pid, memory + at, (void *)word(at, 8)))
			fail("PTRACE_POKEDATA at %#zx", at);
		if (*(uint64_t *)(view + at) != word(at, 8))
			fail("PTRACE_POKEDATA wrote something else at %#zx", at);
	}
}

/* Move pages to the file by a pipe. */
static void splice_out(void)
{
	int fd = file(O_RDWR | O_CREAT | O_TRUNC), ends[2];
	size_t at = 0;

	make(view, 9);
	if (pipe(ends))
		fail("pipe");
	while (at < length) {
		struct iovec part = { memory + at, length - at < 65536 ? length - at : 65536 };
		ssize_t in = vmsplice(ends[1], &part, 1, 0), out = 0;

		if (in <= 0)
			fail("vmsplice at %#zx", at);
		while (out < in) {
			ssize_t n = splice(ends[0], NULL, fd, NULL, in - out, SPLICE_F_MOVE);

			if (n <= 0)
				fail("splice at %#zx", at);
			out += n;
		}
		at += in;
	}
	close(fd);
	compare_file(9);
}

/* Touch all of the mapping, and dump core. */
static void core(void)
{
	struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
	size_t at;

	for (at = 0; at < length; at += 4096)
		memcpy(memory + at, "text-in-the-device", 18);
	if (setrlimit(RLIMIT_CORE, &none))
		fail("setrlimit");
	abort();
}

static const struct {
	const char *name;
	void (*run)(void);
} ways[] = {
	{ "direct-out", direct_out }, { "direct-in", direct_in }, { "fixed-out", fixed_out },
	{ "fixed-in", fixed_in }, { "vm-read", vm_read }, { "vm-write", vm_write }, { "ptrace", trace },
	{ "splice-out", splice_out }, { "core", core },
};

int main(int argc, char **argv)
{
	int fd, prot = PROT_READ | PROT_WRITE;
	size_t i, align, whole;

	if (argc < 5)
		return 2;
	fd = open(argv[1], O_RDWR);
	align = strtoul(argv[2], NULL, 0);
	length = strtoul(argv[3], NULL, 0);
	path = argv[5];
	whole = (length + align - 1) / align * align;
	memory = mmap(NULL, whole, prot, MAP_SHARED, fd, 0);
	view = mmap(NULL, whole, prot, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED || view == MAP_FAILED)
		fail("mmap(%s)", argv[1]);
	close(fd);
	for (i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		if (strcmp(ways[i].name, argv[4]))
			continue;
		ways[i].run();
		return 0;
	}
	return 2;
}
