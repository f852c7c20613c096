// SPDX-License-Identifier: GPL-2.0
/*
 * daxtest: make one system call or memory access per line, and print the result.
 *
 * The tests of device DAX are shell scripts. They use this program for mappings, faults and
 * signals, which a shell cannot handle. It reads commands from standard input and prints one line
 * for each: "ok", a value, the name of an errno, or the signal that an access raised, with its
 * address. A line of the form
 *
 *	COMMAND = PATTERN	(blanks around the "=")
 *
 * prints nothing if the result matches the extended pattern of fnmatch(3). Otherwise it prints the
 * result, and the exit status is 1. The table near the end lists the commands. Numbers may end in
 * K, M or G, or begin with 0x.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/io_uring.h>

#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif
#ifndef PR_THP_DISABLE_EXCEPT_ADVISED
#define PR_THP_DISABLE_EXCEPT_ADVISED (1 << 1)
#endif
#ifndef UFFDIO_REGISTER_MODE_RWP
#define UFFDIO_REGISTER_MODE_RWP (1 << 3)
#define UFFD_FEATURE_RWP (1 << 17)
#define UFFD_FEATURE_RWP_ASYNC (1 << 18)
#endif

/* As in include/uapi/linux/daxfile.h, which the headers of the system may not have. */
struct daxfile_seal {
	int32_t fd;
	uint32_t flags;
	uint64_t align;
};
#define DAXFILE_SEAL _IOWR(0xDA, 1, struct daxfile_seal)

#define MAX_NAMES 32
#define MAX_ARGS 16
#define MAX_LINE 8192

struct file {
	char name[32];
	int fd;
};

struct map {
	char name[32];
	char *addr;
	size_t len;
	/* Offset in the device; fill patterns depend on it, not on the offset in the mapping. */
	uint64_t off;
};

static struct file files[MAX_NAMES];
static struct map maps[MAX_NAMES];
static char result[MAX_LINE];
/* The size of a page, in bytes. */
static uint64_t page;

static void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(result, sizeof(result), fmt, ap);
	va_end(ap);
}

static void say_errno(void)
{
	const char *name = strerrorname_np(errno);

	say("%s", name ? name : "unknown errno");
}

static void say_rc(long rc)
{
	if (rc < 0)
		say_errno();
	else
		say("ok");
}

static void bail(const char *what, const char *arg)
{
	printf("daxtest: %s: %s\n", what, arg);
	exit(2);
}

static uint64_t number(const char *s)
{
	char *end;
	uint64_t n = strtoull(s, &end, 0);

	switch (*end) {
	case 'G':
		n <<= 10;
		/* fallthrough */
	case 'M':
		n <<= 10;
		/* fallthrough */
	case 'K':
		n <<= 10;
		end++;
	}
	if (end == s || *end)
		bail("cannot be read as a value", s);
	return n;
}

static struct file *file(const char *name)
{
	for (int i = 0; i < MAX_NAMES; i++)
		if (!strcmp(files[i].name, name))
			return &files[i];
	bail("nothing open of the name", name);
	return NULL;
}

static struct map *map(const char *name)
{
	for (int i = 0; i < MAX_NAMES; i++)
		if (!strcmp(maps[i].name, name))
			return &maps[i];
	bail("nothing mapped of the name", name);
	return NULL;
}

/* Parse NAME or NAME+OFFSET of a mapping, or a number. */
static char *address(const char *s)
{
	char name[32];
	const char *plus = strchr(s, '+');

	if (*s >= '0' && *s <= '9')
		return (char *)number(s);
	snprintf(name, sizeof(name), "%.*s", plus ? (int)(plus - s) : 31, s);
	return map(name)->addr + (plus ? number(plus + 1) : 0);
}

/* ---- accesses that may raise a signal ---- */

static __thread sigjmp_buf trap;
static __thread volatile bool armed;
static __thread siginfo_t trapped;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	if (!armed) {
		signal(sig, SIG_DFL);
		raise(sig);
		return;
	}
	trapped = *info;
	armed = false;
	siglongjmp(trap, 1);
}

#define TRAP() (armed = true, sigsetjmp(trap, 1))
#define UNTRAP() (armed = false)

/* Print the signal, its offset in the mapping, and for failed memory the size that is lost. */
static void say_signal(struct map *m)
{
	int sig = trapped.si_signo, code = trapped.si_code;
	const char *why = "?";
	char size[32] = "";

	if (sig == SIGBUS)
		why = code == BUS_ADRERR ? "ADRERR" : code == BUS_ADRALN ? "ADRALN" :
		      code == BUS_MCEERR_AR ? "MCEERR_AR" : code == BUS_MCEERR_AO ? "MCEERR_AO" :
		      code == BUS_OBJERR ? "OBJERR" : "?";
	else if (sig == SIGSEGV)
		why = code == SEGV_MAPERR ? "MAPERR" : code == SEGV_ACCERR ? "ACCERR" : "?";
	if (sig == SIGBUS && (code == BUS_MCEERR_AR || code == BUS_MCEERR_AO))
		snprintf(size, sizeof(size), " size %#lx", 1ul << trapped.si_addr_lsb);
	say("SIG%s %s at %#lx%s", sigabbrev_np(sig), why,
	    (unsigned long)((char *)trapped.si_addr - m->addr), size);
}

static uint64_t word(uint64_t off, uint64_t seed)
{
	return (off / 8 + 1) * 0x9e3779b97f4a7c15ull ^ seed;
}

/* ---- fault injection in the kernel: see do_inject() ---- */

/* The number of the call to fail in the system call under test; 0 for none. */
static unsigned int fail_nth;
/* The number of calls still missing after the system call; 0 if one has failed. */
static unsigned int fail_left;
static int fail_fd = -1;

static void set_fail_nth(unsigned int n)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", n);
	if (pwrite(fail_fd, text, strlen(text), 0) < 0)
		bail("fail-nth", strerror(errno));
}

static void arm(void)
{
	if (fail_nth)
		set_fail_nth(fail_nth);
}

static void disarm(void)
{
	char text[16] = "";

	if (!fail_nth)
		return;
	if (pread(fail_fd, text, sizeof(text) - 1, 0) < 0)
		bail("fail-nth", strerror(errno));
	fail_left = strtoul(text, NULL, 10);
	set_fail_nth(0);
}

/* Make a system call with fault injection armed; the value is its result, errno is its errno. */
#define FAILING(call)				\
({						\
	__typeof__(call) _rc;			\
	int _errno;				\
						\
	arm();					\
	_rc = (call);				\
	_errno = errno;				\
	disarm();				\
	errno = _errno;				\
	_rc;					\
})

static long faults(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_minflt + u.ru_majflt;
}

/* ---- the commands; argv[0] is the command, missing arguments are NULL ---- */

/* Give a file descriptor a name, unless it is an error. */
static int opened(const char *name, int fd)
{
	int i;

	for (i = 0; i < MAX_NAMES && files[i].name[0] && strcmp(files[i].name, name); i++)
		;
	if (i == MAX_NAMES)
		bail("too many files", name);
	if (files[i].name[0])
		close(files[i].fd);
	files[i].fd = fd;
	if (fd >= 0)
		snprintf(files[i].name, sizeof(files[i].name), "%s", name);
	else
		files[i].name[0] = 0;
	return fd;
}

static void do_open(char **a)
{
	int flags = O_RDWR, i;

	for (i = 3; a[i]; i++) {
		if (!strcmp(a[i], "ro"))
			flags = (flags & ~O_ACCMODE) | O_RDONLY;
		else if (!strcmp(a[i], "wo"))
			flags = (flags & ~O_ACCMODE) | O_WRONLY;
		else if (!strcmp(a[i], "direct"))
			flags |= O_DIRECT;
		else if (!strcmp(a[i], "creat"))
			flags |= O_CREAT;
		else if (!strcmp(a[i], "trunc"))
			flags |= O_TRUNC;
		else if (!strcmp(a[i], "append"))
			flags |= O_APPEND;
		else if (!strcmp(a[i], "path"))
			flags |= O_PATH;
		else if (strcmp(a[i], "rw"))
			bail("open flag", a[i]);
	}
	say_rc(opened(a[1], FAILING(open(a[2], flags | O_CLOEXEC, 0600))));
}

/* seal NAME FILE ALIGN: seal a file with daxfile; after ERANGE, the largest align that would do */
static void do_seal(char **a)
{
	struct daxfile_seal seal = { .fd = file(a[2])->fd, .align = number(a[3]) };
	int control = open("/dev/daxfile", O_RDWR | O_CLOEXEC), fd, error;

	if (control < 0) {
		say_errno();
		return;
	}
	fd = FAILING(ioctl(control, DAXFILE_SEAL, &seal));
	error = errno;
	close(control);
	errno = error;
	if (fd < 0 && error == ERANGE)
		say("ERANGE 0x%llx", (unsigned long long)seal.align);
	else
		say_rc(opened(a[1], fd));
}

static void do_close(char **a)
{
	struct file *f = file(a[1]);

	say_rc(close(f->fd));
	f->name[0] = 0;
}

/* pipe NAME M OFF LEN: make a pipe that refers to these pages of a mapping, until it is closed */
static void do_pipe(char **a)
{
	struct map *m = map(a[2]);
	struct iovec part = { m->addr + number(a[3]), number(a[4]) };
	int ends[2], error;
	ssize_t n;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK)) {
		say_errno();
		return;
	}
	n = vmsplice(ends[1], &part, 1, SPLICE_F_NONBLOCK);
	error = errno;
	close(ends[1]);
	if (n != (ssize_t)part.iov_len) {
		close(ends[0]);
		errno = n < 0 ? error : EAGAIN;
		say_errno();
		return;
	}
	say_rc(opened(a[1], ends[0]));
}

/* piped NAME: print the next word in a pipe */
static void do_piped(char **a)
{
	uint64_t word;
	ssize_t n = read(file(a[1])->fd, &word, sizeof(word));

	if (n < 0)
		say_errno();
	else if (n < (ssize_t)sizeof(word))
		say("%zd bytes", n);
	else
		say("%llu", (unsigned long long)word);
}

/* uring NAME M OFF LEN: make an io_uring with these pages registered, until it is closed */
static void do_uring(char **a)
{
	struct map *m = map(a[2]);
	struct iovec part = { m->addr + number(a[3]), number(a[4]) };
	struct io_uring_params params = { };
	int ring = syscall(__NR_io_uring_setup, 1, &params), error;

	if (ring < 0) {
		say_errno();
		return;
	}
	if (syscall(__NR_io_uring_register, ring, IORING_REGISTER_BUFFERS, &part, 1)) {
		error = errno;
		close(ring);
		errno = error;
		say_errno();
		return;
	}
	say_rc(opened(a[1], ring));
}

static int protection(const char *s)
{
	int prot = 0;

	if (!strcmp(s, "none"))
		return PROT_NONE;
	for (; *s; s++)
		prot |= *s == 'r' ? PROT_READ : *s == 'w' ? PROT_WRITE : *s == 'x' ? PROT_EXEC : 0;
	return prot;
}

/*
 * mmap M F LEN OFF [r|rw|none|...] [shared|private|validate] [sync] [populate] [locked] [hugetlb] [hint=A]
 *	[fixed=A]: map the file F, or anonymous memory if F is "anon"
 */
static void do_mmap(char **a)
{
	int prot = PROT_READ | PROT_WRITE, type = MAP_SHARED, flags = 0, fd = -1, i;
	void *hint = NULL, *p;

	if (strcmp(a[2], "anon"))
		fd = file(a[2])->fd;
	else
		flags |= MAP_ANONYMOUS;
	for (i = 5; a[i]; i++) {
		if (!strcmp(a[i], "shared"))
			type = MAP_SHARED;
		else if (!strcmp(a[i], "private"))
			type = MAP_PRIVATE;
		else if (!strcmp(a[i], "validate"))
			type = MAP_SHARED_VALIDATE;
		else if (!strcmp(a[i], "sync"))
			flags |= MAP_SYNC;
		else if (!strcmp(a[i], "populate"))
			flags |= MAP_POPULATE;
		else if (!strcmp(a[i], "locked"))
			flags |= MAP_LOCKED;
		else if (!strcmp(a[i], "hugetlb"))
			flags |= MAP_HUGETLB;
		else if (!strncmp(a[i], "hint=", 5))
			hint = address(a[i] + 5);
		else if (!strncmp(a[i], "fixed=", 6)) {
			hint = address(a[i] + 6);
			flags |= MAP_FIXED;
		} else
			prot = protection(a[i]);
	}
	p = FAILING(mmap(hint, number(a[3]), prot, type | flags, fd, number(a[4])));
	if (p == MAP_FAILED) {
		say_errno();
		return;
	}
	for (i = 0; i < MAX_NAMES && maps[i].name[0] && strcmp(maps[i].name, a[1]); i++)
		;
	if (i == MAX_NAMES)
		bail("too many mappings", a[1]);
	snprintf(maps[i].name, sizeof(maps[i].name), "%s", a[1]);
	maps[i] = (struct map) { .addr = p, .len = number(a[3]), .off = number(a[4]) };
	snprintf(maps[i].name, sizeof(maps[i].name), "%s", a[1]);
	say("ok");
}

/* addr M [MODULUS] */
static void do_addr(char **a)
{
	uint64_t at = (uint64_t)map(a[1])->addr;

	say("%#lx", (unsigned long)(a[2] ? at % number(a[2]) : at));
}

/* munmap M [OFF LEN] */
static void do_munmap(char **a)
{
	struct map *m = map(a[1]);
	int rc = munmap(m->addr + (a[2] ? number(a[2]) : 0), a[2] ? number(a[3]) : m->len);

	if (!rc && !a[2])
		m->name[0] = 0;
	say_rc(rc);
}

/* mremap M OFF LEN NEWLEN [maymove] [dontunmap] [fixed=A] */
static void do_mremap(char **a)
{
	struct map *m = map(a[1]);
	void *to = NULL, *p;
	int flags = 0;

	for (int i = 5; a[i]; i++) {
		if (!strcmp(a[i], "maymove"))
			flags |= MREMAP_MAYMOVE;
		else if (!strcmp(a[i], "dontunmap"))
			flags |= MREMAP_DONTUNMAP | MREMAP_MAYMOVE;
		else if (!strncmp(a[i], "fixed=", 6)) {
			to = address(a[i] + 6);
			flags |= MREMAP_FIXED | MREMAP_MAYMOVE;
		}
	}
	p = mremap(m->addr + number(a[2]), number(a[3]), number(a[4]), flags, to);
	if (p == MAP_FAILED) {
		say_errno();
		return;
	}
	if (!number(a[2])) {
		m->addr = p;
		m->len = number(a[4]);
	}
	say("ok");
}

static void do_mprotect(char **a)
{
	say_rc(mprotect(map(a[1])->addr + number(a[2]), number(a[3]), protection(a[4])));
}

static void do_madvise(char **a)
{
	static const struct {
		const char *name;
		int advice;
	} known[] = {
		{ "dontneed", MADV_DONTNEED }, { "willneed", MADV_WILLNEED },
		{ "remove", MADV_REMOVE }, { "hugepage", MADV_HUGEPAGE },
		{ "nohugepage", MADV_NOHUGEPAGE }, { "free", MADV_FREE },
		{ "cold", MADV_COLD }, { "pageout", MADV_PAGEOUT },
		{ "mergeable", MADV_MERGEABLE }, { "dontfork", MADV_DONTFORK },
		{ "dofork", MADV_DOFORK },
		{ "collapse", MADV_COLLAPSE }, { "populate_read", MADV_POPULATE_READ },
		{ "populate_write", MADV_POPULATE_WRITE }, { "wipeonfork", MADV_WIPEONFORK },
		{ "hwpoison", MADV_HWPOISON }, { "soft_offline", MADV_SOFT_OFFLINE },
		{ "unmergeable", MADV_UNMERGEABLE }, { "dontneed_locked", 24 },
		{ "guard_install", MADV_GUARD_INSTALL }, { "guard_remove", MADV_GUARD_REMOVE },
	};
	struct map *m = map(a[1]);

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(known[i].name, a[4])) {
			if (TRAP()) {
				say_signal(m);
				return;
			}
			say_rc(FAILING(madvise(m->addr + number(a[2]), number(a[3]),
					       known[i].advice)));
			UNTRAP();
			return;
		}
	bail("advice", a[4]);
}

static void do_msync(char **a)
{
	say_rc(msync(map(a[1])->addr + number(a[2]), number(a[3]), MS_SYNC));
}

static void do_mlock(char **a)
{
	say_rc(mlock(map(a[1])->addr + number(a[2]), number(a[3])));
}

static void do_mlock2(char **a)
{
	say_rc(mlock2(map(a[1])->addr + number(a[2]), number(a[3]), MLOCK_ONFAULT));
}

static void do_munlock(char **a)
{
	say_rc(munlock(map(a[1])->addr + number(a[2]), number(a[3])));
}

/* mlockall current|future|onfault|none: all of them but "none" lock the existing mappings, too */
static void do_mlockall(char **a)
{
	if (!strcmp(a[1], "none"))
		say_rc(munlockall());
	else
		say_rc(mlockall(!strcmp(a[1], "current") ? MCL_CURRENT :
				!strcmp(a[1], "future") ? MCL_CURRENT | MCL_FUTURE :
				MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT));
}

static void do_mseal(char **a)
{
	say_rc(syscall(SYS_mseal, map(a[1])->addr + number(a[2]), number(a[3]), 0));
}

/* mbind M OFF LEN NODE: bind this memory to the node, and move the pages that are mapped */
static void do_mbind(char **a)
{
	unsigned long nodes = 1ul << number(a[4]);

	say_rc(syscall(SYS_mbind, map(a[1])->addr + number(a[2]), number(a[3]), MPOL_BIND, &nodes,
		       sizeof(nodes) * 8, MPOL_MF_MOVE));
}

/* thp disabled|advised|enabled: disable huge pages for this process, entirely or unless advised */
static void do_thp(char **a)
{
	say_rc(prctl(PR_SET_THP_DISABLE, strcmp(a[1], "enabled") != 0,
		     !strcmp(a[1], "advised") ? PR_THP_DISABLE_EXCEPT_ADVISED : 0, 0, 0));
}

/* ---- userfaultfd, one for all mappings ---- */

static int uffd = -1;

/*
 * uffd M wp|missing|minor|rwp [sync]: register the mapping. Without "sync", the kernel resolves the
 * faults and does not report them.
 */
static void do_uffd(char **a)
{
	struct map *m = map(a[1]);
	int mode = !strcmp(a[2], "wp") ? UFFDIO_REGISTER_MODE_WP :
		   !strcmp(a[2], "missing") ? UFFDIO_REGISTER_MODE_MISSING :
		   !strcmp(a[2], "minor") ? UFFDIO_REGISTER_MODE_MINOR : UFFDIO_REGISTER_MODE_RWP;
	bool rwp = mode == UFFDIO_REGISTER_MODE_RWP;
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = rwp ? UFFD_FEATURE_RWP | (a[3] ? 0 : UFFD_FEATURE_RWP_ASYNC) :
			    a[3] ? 0 : UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED,
	};
	struct uffdio_register range = { .range = { (uint64_t)m->addr, m->len }, .mode = mode };

	if (uffd >= 0)
		close(uffd);
	uffd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) < 0) {
		say_errno();
		strcat(result, " from userfaultfd");
		return;
	}
	say_rc(ioctl(uffd, UFFDIO_REGISTER, &range));
}

/* protect M OFF LEN: let userfaultfd track writes to this memory; "unprotect" ends that */
static void protect(char **a, int mode)
{
	struct uffdio_writeprotect range = {
		.range = { (uint64_t)map(a[1])->addr + number(a[2]), number(a[3]) },
		.mode = mode,
	};

	say_rc(ioctl(uffd, UFFDIO_WRITEPROTECT, &range));
}

static void do_protect(char **a) { protect(a, UFFDIO_WRITEPROTECT_MODE_WP); }
static void do_unprotect(char **a) { protect(a, 0); }

/* unwatch M: unregister the mapping from userfaultfd */
static void do_unwatch(char **a)
{
	struct map *m = map(a[1]);
	struct uffdio_range range = { (uint64_t)m->addr, m->len };

	say_rc(ioctl(uffd, UFFDIO_UNREGISTER, &range));
}

static void do_read(char **a)
{
	struct map *m = map(a[1]);
	uint64_t value;

	if (TRAP()) {
		say_signal(m);
		return;
	}
	value = *(volatile uint64_t *)(m->addr + number(a[2]));
	UNTRAP();
	say("%lu", (unsigned long)value);
}

static void do_write(char **a)
{
	struct map *m = map(a[1]);

	if (TRAP()) {
		say_signal(m);
		return;
	}
	arm();
	*(volatile uint64_t *)(m->addr + number(a[2])) = number(a[3]);
	disarm();
	UNTRAP();
	say("ok");
}

/* touch M OFF LEN STEP r|w: access memory at each step, and print the number of faults */
static void do_touch(char **a)
{
	struct map *m = map(a[1]);
	uint64_t off = number(a[2]), len = number(a[3]), step = number(a[4]), at;
	bool write = a[5] && *a[5] == 'w';
	long before, after;

	faults();
	if (TRAP()) {
		say_signal(m);
		return;
	}
	before = faults();
	for (at = off; at < off + len; at += step) {
		volatile uint64_t *p = (volatile uint64_t *)(m->addr + at);

		if (write)
			*p = *p;
		else
			(void)*p;
	}
	after = faults();
	UNTRAP();
	say("faults %ld", after - before);
}

/* store M OFF LEN STEP: like touch, but the first access of each page is a write */
static void do_store(char **a)
{
	struct map *m = map(a[1]);
	uint64_t off = number(a[2]), len = number(a[3]), step = number(a[4]), at;
	long before, after;

	faults();
	if (TRAP()) {
		say_signal(m);
		return;
	}
	before = faults();
	for (at = off; at < off + len; at += step)
		*(volatile uint64_t *)(m->addr + at) = word(m->off + at, 0);
	after = faults();
	UNTRAP();
	say("faults %ld", after - before);
}

/* fill M OFF LEN SEED [STEP]: write a pattern that depends on the offset in the device */
static void do_fill(char **a)
{
	struct map *m = map(a[1]);
	uint64_t off = number(a[2]), len = number(a[3]), seed = number(a[4]), at;
	uint64_t step = a[5] ? number(a[5]) : 8;

	if (TRAP()) {
		say_signal(m);
		return;
	}
	for (at = off; at < off + len; at += step)
		*(volatile uint64_t *)(m->addr + at) = word(m->off + at, seed);
	UNTRAP();
	say("ok");
}

/* verify M OFF LEN SEED [STEP]: compare with the pattern of fill */
static void do_verify(char **a)
{
	struct map *m = map(a[1]);
	uint64_t off = number(a[2]), len = number(a[3]), seed = number(a[4]), at, got;
	uint64_t step = a[5] ? number(a[5]) : 8;

	if (TRAP()) {
		say_signal(m);
		return;
	}
	for (at = off; at < off + len; at += step) {
		got = *(volatile uint64_t *)(m->addr + at);
		if (got != word(m->off + at, seed)) {
			UNTRAP();
			say("differs at %#lx: %#lx, not %#lx", (unsigned long)at,
			    (unsigned long)got, (unsigned long)word(m->off + at, seed));
			return;
		}
	}
	UNTRAP();
	say("ok");
}

/* expect PATH OFF LEN SEED DEVOFF [STEP]: look for the pattern of fill in a file or block device */
static void do_expect(char **a)
{
	uint64_t off = number(a[2]), len = number(a[3]), seed = number(a[4]), dev = number(a[5]);
	uint64_t step = a[6] ? number(a[6]) : 8, at, got;
	int fd = open(a[1], O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		say_errno();
		return;
	}
	for (at = 0; at < len; at += step) {
		if (pread(fd, &got, 8, off + at) != 8) {
			say("cannot read at %#lx", (unsigned long)(off + at));
			break;
		}
		if (got != word(dev + at, seed)) {
			say("differs at %#lx: %#lx, not %#lx", (unsigned long)(off + at),
			    (unsigned long)got, (unsigned long)word(dev + at, seed));
			break;
		}
	}
	if (at >= len)
		say("ok");
	close(fd);
}

static FILE *smaps_of(struct map *m)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long start, end;
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2 && start == (unsigned long)m->addr)
			return f;
	if (f)
		fclose(f);
	return NULL;
}

/* smaps M FIELD: print a field of the VMA that begins where the mapping begins */
static void do_smaps(char **a)
{
	FILE *f = smaps_of(map(a[1]));
	size_t len = strlen(a[2]);
	char line[512];

	say("no such area");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, a[2], len) && line[len] == ':') {
			char *value = line + len + 1 + strspn(line + len + 1, " ");

			value[strcspn(value, "\n")] = 0;
			while (*value && value[strlen(value) - 1] == ' ')
				value[strlen(value) - 1] = 0;
			say("%s", value);
			break;
		}
	if (f)
		fclose(f);
}

/* areas M: print the number of VMAs that cover the mapping */
static void do_areas(char **a)
{
	struct map *m = map(a[1]);
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long start, end;
	char line[512];
	int n = 0;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2 &&
		    start < (unsigned long)m->addr + m->len && end > (unsigned long)m->addr)
			n++;
	if (f)
		fclose(f);
	say("%d", n);
}

/* phys M OFF: print the physical address from pagemap, in hexadecimal */
static void do_phys(char **a)
{
	uint64_t at = (uint64_t)map(a[1])->addr + number(a[2]), entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || pread(fd, &entry, 8, at / page * 8) != 8)
		say_errno();
	else if (!(entry >> 63))
		say("none");
	else
		say("%#lx", (unsigned long)((entry & ((1ull << 55) - 1)) * page + at % page));
	close(fd);
}

/* pagemap M OFF: print its flags: present, dirty (soft-dirty), wp, guard; or "none" */
static void do_pagemap(char **a)
{
	static const struct {
		int bit;
		const char *name;
	} bits[] = { { 63, "present" }, { 55, "dirty" }, { 57, "wp" }, { 58, "guard" } };
	uint64_t at = (uint64_t)map(a[1])->addr + number(a[2]), entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), len = 0;

	say("none");
	if (fd < 0 || pread(fd, &entry, 8, at / page * 8) != 8)
		say_errno();
	else
		for (size_t i = 0; i < sizeof(bits) / sizeof(*bits); i++)
			if (entry >> bits[i].bit & 1)
				len += sprintf(result + len, "%s%s", len ? " " : "", bits[i].name);
	close(fd);
}

/* mapped M OFF LEN: print the numbers of the mapped pages, counted from OFF; "0-3 7" or "none" */
static void do_mapped(char **a)
{
	uint64_t at = (uint64_t)map(a[1])->addr + number(a[2]), n = number(a[3]) / page, first = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), len = 0;
	bool before = false;

	say("none");
	for (uint64_t i = 0; i <= n && len < MAX_LINE - 64; i++) {
		uint64_t entry = 0;

		if (i < n && pread(fd, &entry, 8, (at / page + i) * 8) != 8) {
			say_errno();
			break;
		}
		if (entry >> 63 && !before)
			first = i;
		else if (!(entry >> 63) && before && first == i - 1)
			len += sprintf(result + len, "%s%lu", len ? " " : "", (unsigned long)first);
		else if (!(entry >> 63) && before)
			len += sprintf(result + len, "%s%lu-%lu", len ? " " : "",
				       (unsigned long)first, (unsigned long)i - 1);
		before = entry >> 63;
	}
	close(fd);
}

/* procread M OFF: read a word through /proc/self/mem, so that the kernel uses get_user_pages() */
static void do_procread(char **a)
{
	int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	uint64_t value;
	ssize_t n = pread(fd, &value, 8, (off_t)(map(a[1])->addr + number(a[2])));

	if (n < 0)
		say_errno();
	else
		say("%lu", (unsigned long)value);
	close(fd);
}

/* procwrite M OFF VALUE: write a word through /proc/self/mem, as a debugger does */
static void do_procwrite(char **a)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	uint64_t value = number(a[3]);
	ssize_t n = pwrite(fd, &value, 8, (off_t)(map(a[1])->addr + number(a[2])));

	if (n < 0)
		say_errno();
	else
		say("ok");
	close(fd);
}

static void say_count(ssize_t n)
{
	if (n < 0)
		say_errno();
	else
		say("%zd", n);
}

/* pread F LEN OFF [M MOFF], pwrite likewise: use a buffer of its own, or the mapping M */
static void do_pread(char **a)
{
	size_t len = number(a[2]);
	char *buf = a[4] ? map(a[4])->addr + number(a[5]) : malloc(len);

	say_count(pread(file(a[1])->fd, buf, len, number(a[3])));
	if (!a[4])
		free(buf);
}

static void do_pwrite(char **a)
{
	size_t len = number(a[2]);
	char *buf = a[4] ? map(a[4])->addr + number(a[5]) : calloc(1, len);

	say_count(pwrite(file(a[1])->fd, buf, len, number(a[3])));
	if (!a[4])
		free(buf);
}

static void do_sysread(char **a)
{
	char buf[64];

	say_count(read(file(a[1])->fd, buf, sizeof(buf)));
}

static void do_syswrite(char **a)
{
	char buf[64] = "";

	say_count(write(file(a[1])->fd, buf, sizeof(buf)));
}

static void do_lseek(char **a)
{
	int whence = !strcmp(a[3], "set") ? SEEK_SET : !strcmp(a[3], "cur") ? SEEK_CUR :
		     !strcmp(a[3], "end") ? SEEK_END : !strcmp(a[3], "data") ? SEEK_DATA :
		     SEEK_HOLE;
	bool negative = *a[2] == '-';
	off_t off = number(a[2] + negative);

	say_count(lseek(file(a[1])->fd, negative ? -off : off, whence));
}

static void do_ftruncate(char **a)
{
	say_rc(ftruncate(file(a[1])->fd, number(a[2])));
}

static void do_truncate(char **a)
{
	say_rc(truncate(a[1], number(a[2])));
}

static void do_fallocate(char **a)
{
	int mode = !strcmp(a[2], "punch") ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE :
		   !strcmp(a[2], "zero") ? FALLOC_FL_ZERO_RANGE : 0;

	say_rc(fallocate(file(a[1])->fd, mode, number(a[3]), number(a[4])));
}

static void do_fsync(char **a)
{
	say_rc(fsync(file(a[1])->fd));
}

static void do_fstat(char **a)
{
	struct stat st;

	if (fstat(file(a[1])->fd, &st) < 0)
		say_errno();
	else
		say("%s %u:%u size %lu", S_ISCHR(st.st_mode) ? "char" : "other",
		    major(st.st_rdev), minor(st.st_rdev), (unsigned long)st.st_size);
}

/* put PATH VALUE...: one write(2) of the rest of the line; \n, \0, \xNN, \*N:c for N times c */
static void do_put(char **a)
{
	static char buf[1 << 17];
	size_t n = 0;
	int fd;

	for (const char *s = a[2] ? a[2] : ""; *s && n < sizeof(buf); s++) {
		if (*s != '\\') {
			buf[n++] = *s;
		} else if (*++s == 'n') {
			buf[n++] = '\n';
		} else if (*s == '0') {
			buf[n++] = 0;
		} else if (*s == 'x') {
			unsigned int byte = 0;

			if (sscanf(s + 1, "%2x", &byte) != 1)
				bail("not two hexadecimal digits", s);
			buf[n++] = byte;
			s += 2;
		} else if (*s == '*') {
			char *end;
			size_t count = strtoul(s + 1, &end, 10);

			for (; count && n < sizeof(buf); count--)
				buf[n++] = end[1];
			s = end + 1;
		} else {
			buf[n++] = *s;
		}
	}
	fd = open(a[1], O_WRONLY | O_CLOEXEC);
	if (fd < 0) {
		say_errno();
		return;
	}
	say_rc(FAILING(write(fd, buf, n)));
	close(fd);
}

/* get PATH: print the contents of a small file, without the last newline */
static void do_get(char **a)
{
	char buf[4096];
	int fd = open(a[1], O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, buf, sizeof(buf) - 1);

	if (fd < 0 || n < 0) {
		say_errno();
	} else {
		buf[n] = 0;
		if (n && buf[n - 1] == '\n')
			buf[n - 1] = 0;
		for (char *p = buf; *p; p++)
			if (*p == '\n')
				*p = ' ';
		say("%s", buf);
	}
	if (fd >= 0)
		close(fd);
}

static void run(char *line);

/* child COMMAND...: run the command in a forked child, which then exits */
static void do_child(char **a)
{
	char line[MAX_LINE] = "";
	int pipes[2], status;
	ssize_t n;
	pid_t pid;

	for (int i = 1; a[i]; i++) {
		strncat(line, a[i], sizeof(line) - strlen(line) - 2);
		strcat(line, " ");
	}
	if (pipe(pipes) < 0)
		bail("no pipe", strerror(errno));
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		bail("cannot fork", strerror(errno));
	if (!pid) {
		run(line);
		n = write(pipes[1], result, strlen(result));
		_exit(0);
	}
	close(pipes[1]);
	n = read(pipes[0], result, sizeof(result) - 1);
	result[n > 0 ? n : 0] = 0;
	close(pipes[0]);
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		say("killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
}

/* ---- threads that fault continuously ---- */

struct storm {
	pthread_t threads[16];
	int nr;
	struct map map;
	uint64_t step;
	/* Each thread has entries of its own. */
	bool apart;
	unsigned long faults;
	volatile bool stop;
};

static struct storm storm;

static void *storm_thread(void *arg)
{
	struct storm *s = &storm;
	uint64_t stride = s->apart ? s->nr * s->step : s->step;
	uint64_t first = s->apart ? (long)arg * s->step : 0;
	/* Volatile: they change between sigsetjmp() and siglongjmp(). */
	volatile unsigned long n = 0;
	volatile uint64_t at = first;

	if (TRAP())
		goto out;
	while (!s->stop) {
		*(volatile uint64_t *)(s->map.addr + at);
		n++;
		madvise(s->map.addr + at, s->step, MADV_DONTNEED);
		at = at + stride < s->map.len ? at + stride : first;
	}
	UNTRAP();
	__atomic_add_fetch(&s->faults, n, __ATOMIC_RELAXED);
	return NULL;
out:
	__atomic_add_fetch(&s->faults, n, __ATOMIC_RELAXED);
	return (void *)(long)trapped.si_signo;
}

/*
 * storm M THREADS STEP [apart]: start threads that touch and drop entries of the mapping again and
 * again. All threads use the same entries; with "apart", each has its own.
 */
static void do_storm(char **a)
{
	storm = (struct storm) { .map = *map(a[1]), .nr = number(a[2]), .step = number(a[3]),
			  .apart = a[4] };
	if (storm.nr > 16)
		bail("too many threads", a[2]);
	for (long i = 0; i < storm.nr; i++)
		if (pthread_create(&storm.threads[i], NULL, storm_thread, (void *)i))
			bail("cannot start a thread", a[2]);
	say("ok");
}

/* calm [stop]: wait until each thread got a signal, or stop them; print how they ended */
static void do_calm(char **a)
{
	int sigbus = 0, other = 0;
	void *sig;

	storm.stop = a[1] != NULL;
	for (int i = 0; i < storm.nr; i++) {
		pthread_join(storm.threads[i], &sig);
		if ((long)sig == SIGBUS)
			sigbus++;
		else if (sig)
			other++;
	}
	if (!storm.faults)
		say("no faults at all");
	else
		say("%d SIGBUS %d other", sigbus, other);
}

/* ---- guard pages that are installed and removed while another thread writes ---- */

static struct map guarded;
static volatile bool guards_end;

static void *guards_thread(void *arg)
{
	while (!guards_end) {
		madvise(guarded.addr, page, MADV_GUARD_INSTALL);
		madvise(guarded.addr, page, MADV_GUARD_REMOVE);
		madvise(guarded.addr, guarded.len, MADV_DONTNEED);
	}
	return NULL;
}

/* guards M SECONDS: print whether writes succeeded, and whether a signal refused any */
static void do_guards(char **a)
{
	struct map *m = map(a[1]);
	time_t end = time(NULL) + number(a[2]);
	/* Volatile: they change between sigsetjmp() and siglongjmp(). */
	volatile unsigned long wrote = 0, refused = 0;
	pthread_t thread;

	guarded = *m;
	guards_end = false;
	if (pthread_create(&thread, NULL, guards_thread, NULL))
		bail("cannot start a thread", a[1]);
	while (time(NULL) < end) {
		if (TRAP()) {
			refused++;
			continue;
		}
		((volatile uint64_t *)m->addr)[1] = wrote;
		UNTRAP();
		wrote++;
	}
	guards_end = true;
	pthread_join(thread, NULL);
	say("written: %s, refused: %s", wrote ? "yes" : "no", refused ? "yes" : "no");
}

static void do_loop(char **a)
{
	char line[MAX_LINE], first[MAX_LINE];
	unsigned long n = number(a[1]);

	for (unsigned long i = 0; i < n; i++) {
		line[0] = 0;
		for (int k = 2; a[k]; k++) {
			strncat(line, a[k], sizeof(line) - strlen(line) - 2);
			strcat(line, " ");
		}
		run(line);
		if (i && strcmp(first, result)) {
			char last[256];

			snprintf(last, sizeof(last), "%.255s", result);
			say("%.255s, but in iteration %lu: %s", first, i, last);
			return;
		}
		snprintf(first, sizeof(first), "%s", result);
	}
}

/* early: ask for a signal as soon as memory fails (PR_MCE_KILL_EARLY); "told" fetches the signal */
static void do_early(char **a)
{
	sigset_t bus;

	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	sigprocmask(SIG_BLOCK, &bus, NULL);
	say_rc(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0));
}

/* told M: print that signal, or "nothing"; from then on signals are handled as usual */
static void do_told(char **a)
{
	struct timespec limit = { .tv_sec = 1 };
	sigset_t bus;

	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	if (sigtimedwait(&bus, &trapped, &limit) < 0)
		say("nothing");
	else
		say_signal(map(a[1]));
	sigprocmask(SIG_UNBLOCK, &bus, NULL);
}

/* ---- fault injection: each allocation, and each other call set up to fail, fails in turn ---- */

/* Lists of lines for inject: paths of its state, and commands. */
struct lines {
	char *line[MAX_NAMES];
	int nr;
};

static struct lines watched, undos, mends;

static void add_line(struct lines *lines, char **a)
{
	if (lines->nr == MAX_NAMES)
		bail("too many of", a[0]);
	lines->line[lines->nr++] = strdup(a[1]);
	say("ok");
}

/* watch PATH: inject compares the contents of this file, or of everything below this directory */
static void do_watch(char **a) { add_line(&watched, a); }
/* undo COMMAND: revert the operation; several of these run in order */
static void do_undo(char **a) { add_line(&undos, a); }
/* mend COMMAND: complete an operation that succeeded in spite of a tolerated failure */
static void do_mend(char **a) { add_line(&mends, a); }

static int seen(const struct dirent *entry)
{
	/* Files with times, and with numbers that the kernel frees only after a while. */
	static const char *const unseen[] = { ".", "..", "power", "uevent", "dev" };

	for (size_t i = 0; i < sizeof(unseen) / sizeof(*unseen); i++)
		if (!strcmp(entry->d_name, unseen[i]))
			return 0;
	return 1;
}

static void look_at(FILE *out, const char *path)
{
	char buf[4096], *below;
	struct dirent **list;
	struct stat st;
	ssize_t n;
	int fd;

	if (lstat(path, &st) < 0)
		return;
	fprintf(out, "%s %o", path, st.st_mode);
	if (S_ISLNK(st.st_mode)) {
		n = readlink(path, buf, sizeof(buf));
		fprintf(out, " %.*s", (int)n, buf);
	} else if (S_ISREG(st.st_mode) && st.st_mode & 0444) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		while ((n = read(fd, buf, sizeof(buf))) > 0)
			fprintf(out, " %.*s", (int)n, buf);
		close(fd);
	}
	fprintf(out, "\n");
	n = S_ISDIR(st.st_mode) ? scandir(path, &list, seen, alphasort) : 0;
	for (int i = 0; i < n; i++) {
		if (asprintf(&below, "%s/%s", path, list[i]->d_name) < 0)
			bail("no memory", path);
		look_at(out, below);
		free(below);
		free(list[i]);
	}
	if (S_ISDIR(st.st_mode) && n >= 0)
		free(list);
}

/* Return the state of everything that is watched, as text. */
static char *state(void)
{
	size_t len;
	char *text;
	FILE *out = open_memstream(&text, &len);

	for (int i = 0; i < watched.nr; i++)
		look_at(out, watched.line[i]);
	fclose(out);
	return text;
}

/* Compare the state with @want. On a difference, @where gets the first line that differs. */
static bool state_is(const char *want, char *where, size_t len)
{
	char *now = state();
	size_t i = 0, line = 0;
	bool same = !strcmp(now, want);

	for (; !same && now[i] == want[i]; i++)
		if (now[i] == '\n')
			line = i + 1;
	snprintf(where, len, "\"%.*s\", expected \"%.*s\"", (int)strcspn(now + line, "\n"),
		 now + line, (int)strcspn(want + line, "\n"), want + line);
	free(now);
	return same;
}

/* Run a command, and return whether it succeeded. */
static bool succeeds(const char *command)
{
	char line[MAX_LINE];

	snprintf(line, sizeof(line), "%s", command);
	run(line);
	return !strcmp(result, "ok");
}

/* Run commands that must succeed. On failure, the result names the first that did not. */
static bool all_succeed(const struct lines *lines)
{
	for (int i = 0; i < lines->nr; i++)
		if (!succeeds(lines->line[i])) {
			char why[256];

			snprintf(why, sizeof(why), "%.255s", result);
			say("%s: %s", lines->line[i], why);
			return false;
		}
	return true;
}

/* The result of a command in which a call failed, and how often it occurred. */
struct outcome {
	char what[64];
	unsigned int times;
};

/*
 * Run a command with call @n failing. Return false if the state or a later command is not as
 * do_inject() requires; the result has the details. Otherwise return true: the result is that of
 * the command, or "done" if it made fewer than @n calls that can fail.
 */
static bool inject_one(const char *command, unsigned int n, const char *before, const char *after)
{
	char what[64], where[1024];
	bool good, done;

	fail_nth = n;
	fail_left = n;
	good = succeeds(command);
	fail_nth = 0;
	done = fail_left;
	snprintf(what, sizeof(what), "%.48s", done && good ? "done" : result);
	if (!good) {
		if (done || !state_is(before, where, sizeof(where)))
			goto wrong;
		if (!succeeds(command)) {
			snprintf(where, sizeof(where), "the next try: %.255s", result);
			goto wrong;
		}
	} else if (mends.nr && !state_is(after, where, sizeof(where))) {
		strcat(what, ", mended");
		if (!all_succeed(&mends)) {
			snprintf(where, sizeof(where), "%.255s", result);
			goto wrong;
		}
	}
	if (!state_is(after, where, sizeof(where)))
		goto wrong;
	if (!all_succeed(&undos)) {
		snprintf(where, sizeof(where), "%.255s", result);
		goto wrong;
	}
	if (!state_is(before, where, sizeof(where)))
		goto wrong;
	say("%s", what);
	return true;
wrong:
	say("call %u: %s, then %s", n, what, where);
	return false;
}

/*
 * inject COMMAND: run it with its first call failing, then with its second, and so on, until no
 * call is left. A call is an allocation, or a function that the kernel was set up to let fail. If
 * the command fails, the state must be the same as before, and the command must succeed without an
 * injected failure. If it succeeds, the state must be the same as without an injected failure. The
 * result is the number of calls, and the results of the command.
 */
static void do_inject(char **a)
{
	struct outcome all[16] = { };
	char where[1024], *before = state(), *after;
	unsigned int n = 0, i;
	size_t len;

	fail_fd = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	if (fail_fd < 0)
		bail("this kernel cannot inject failures", strerror(errno));
	if (!succeeds(a[1]))
		return;
	after = state();
	if (!all_succeed(&undos))
		return;
	if (!state_is(before, where, sizeof(where))) {
		say("undone, without any failure: %s", where);
		return;
	}
	for (;;) {
		if (!inject_one(a[1], n + 1, before, after))
			return;
		if (!strcmp(result, "done"))
			break;
		n++;
		for (i = 0; all[i].times && strcmp(all[i].what, result); i++)
			if (i == sizeof(all) / sizeof(*all) - 2)
				bail("too many different results", result);
		snprintf(all[i].what, sizeof(all[i].what), "%.63s", result);
		all[i].times++;
	}
	len = sprintf(result, "%u points", n);
	for (i = 0; all[i].times; i++)
		len += sprintf(result + len, "; %u %s", all[i].times, all[i].what);
}

/* load FILE: load the module in this file */
static void do_load(char **a)
{
	int fd = open(a[1], O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		say_errno();
		return;
	}
	say_rc(FAILING(syscall(SYS_finit_module, fd, "", 0)));
	close(fd);
}

/* unload NAME: unload this module */
static void do_unload(char **a)
{
	say_rc(FAILING(syscall(SYS_delete_module, a[1], O_NONBLOCK)));
}

static void do_uid(char **a)
{
	say_rc(setresuid(number(a[1]), number(a[1]), number(a[1])));
}

static const struct {
	const char *name;
	void (*run)(char **a);
	/* The number of arguments that it needs. */
	int nr;
	/* The last argument is the rest of the line, unchanged. */
	bool rest;
} commands[] = {
	{ "open", do_open, 2 }, { "seal", do_seal, 3 }, { "close", do_close, 1 }, { "mmap", do_mmap, 4 },
	{ "addr", do_addr, 1 }, { "munmap", do_munmap, 1 }, { "mremap", do_mremap, 4 },
	{ "mprotect", do_mprotect, 4 }, { "madvise", do_madvise, 4 }, { "msync", do_msync, 3 },
	{ "mlock", do_mlock, 3 }, { "mlock2", do_mlock2, 3 }, { "munlock", do_munlock, 3 },
	{ "mlockall", do_mlockall, 1 }, { "mseal", do_mseal, 3 }, { "mbind", do_mbind, 4 },
	{ "thp", do_thp, 1 }, { "uffd", do_uffd, 2 }, { "protect", do_protect, 3 },
	{ "unprotect", do_unprotect, 3 }, { "unwatch", do_unwatch, 1 },
	{ "pagemap", do_pagemap, 2 }, { "read", do_read, 2 }, { "write", do_write, 3 },
	{ "touch", do_touch, 5 }, { "store", do_store, 4 }, { "fill", do_fill, 4 },
	{ "verify", do_verify, 4 }, { "expect", do_expect, 5 }, { "smaps", do_smaps, 2 },
	{ "areas", do_areas, 1 }, { "phys", do_phys, 2 }, { "mapped", do_mapped, 3 },
	{ "procread", do_procread, 2 }, { "procwrite", do_procwrite, 3 },
	{ "pipe", do_pipe, 4 }, { "piped", do_piped, 1 }, { "uring", do_uring, 4 },
	{ "pread", do_pread, 3 }, { "pwrite", do_pwrite, 3 }, { "sysread", do_sysread, 1 },
	{ "syswrite", do_syswrite, 1 }, { "lseek", do_lseek, 3 },
	{ "ftruncate", do_ftruncate, 2 }, { "truncate", do_truncate, 2 },
	{ "fallocate", do_fallocate, 4 }, { "fsync", do_fsync, 1 }, { "fstat", do_fstat, 1 },
	{ "put", do_put, 1, true }, { "get", do_get, 1 }, { "child", do_child, 1 },
	{ "storm", do_storm, 3 }, { "calm", do_calm, 0 }, { "guards", do_guards, 2 },
	{ "loop", do_loop, 2 },
	{ "uid", do_uid, 1 }, { "early", do_early, 0 }, { "told", do_told, 1 },
	{ "watch", do_watch, 0, true }, { "undo", do_undo, 0, true },
	{ "mend", do_mend, 0, true }, { "inject", do_inject, 0, true },
	{ "load", do_load, 1 }, { "unload", do_unload, 1 },
};

static void run(char *line)
{
	char *a[MAX_ARGS + 1] = { NULL }, *s = line;
	int n = 0, want = MAX_ARGS;
	size_t c = 0;

	while (n < want) {
		s += strspn(s, " \t");
		if (!*s)
			break;
		a[n++] = s;
		if (n == 1) {
			size_t len = strcspn(s, " \t");

			for (c = 0; c < sizeof(commands) / sizeof(*commands); c++)
				if (strlen(commands[c].name) == len &&
				    !strncmp(s, commands[c].name, len))
					break;
			if (c == sizeof(commands) / sizeof(*commands))
				bail("no such command", s);
		}
		/* The value of "put" is everything after one blank. */
		if (commands[c].rest && n == commands[c].nr + 1) {
			s += strcspn(s, " \t");
			if (*s) {
				*s++ = 0;
				a[n++] = s;
			}
			break;
		}
		s += strcspn(s, " \t");
		if (*s)
			*s++ = 0;
	}
	if (n <= commands[c].nr)
		bail("missing arguments", line);
	commands[c].run(a);
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	char line[MAX_LINE], command[MAX_LINE];
	int bad = 0, nr = 0;

	page = sysconf(_SC_PAGESIZE);
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof(line), stdin)) {
		char *want = NULL, *at = line;

		nr++;
		line[strcspn(line, "\n")] = 0;
		at += strspn(at, " \t");
		if (!*at || *at == '#')
			continue;
		/* Take the last lone "=", so that a value may contain one. */
		for (char *p = at; (p = strchr(p + 1, '='));)
			if (strchr(" \t", p[-1]) && strchr(" \t", p[1]))
				want = p;
		if (want) {
			for (char *end = want--; end > at && strchr(" \t=", *end); end--)
				*end = 0;
			want += 2;
			want += strspn(want, " \t");
		}
		snprintf(command, sizeof(command), "%s", at);
		run(at);
		if (!want) {
			printf("%s\n", result);
		} else if (fnmatch(want, result, FNM_EXTMATCH)) {
			printf("line %d: %s: got \"%s\", expected \"%s\"\n", nr, command, result,
			       want);
			bad = 1;
		}
	}
	return bad;
}
