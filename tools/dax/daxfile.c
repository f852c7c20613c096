// SPDX-License-Identifier: GPL-2.0
/*
 * daxfile: make, seal and list files that are mapped like a device.
 *
 * See Documentation/admin-guide/daxfile.rst.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/daxfile.h>

#define CONTROL "/dev/daxfile"
/* How often "create" asks the file system for other blocks. */
#define TRIES 8

static const uint64_t aligns[] = { 1 << 30, 2 << 20, 4 << 10 };

static void print_usage(void)
{
	fputs("usage: daxfile create [-a ALIGN] FILE SIZE\n"
	      "       daxfile seal [-a ALIGN] FILE [COMMAND [ARGUMENT...]]\n"
	      "       daxfile info\n"
	      "\n"
	      "create makes a file of written zeros whose blocks fit ALIGN: 4K, 2M (the\n"
	      "default) or 1G. seal seals a file while COMMAND runs, or until the standard\n"
	      "input ends; COMMAND has the sealed descriptor, and its number in DAXFILE_FD.\n"
	      "Without -a, seal takes the largest align that the file allows. info lists the\n"
	      "sealed files and the processes that have them.\n",
	      stderr);
	exit(2);
}

static uint64_t number(const char *text)
{
	static const char units[] = "KMG";
	char *end;
	uint64_t n = strtoull(text, &end, 0);
	const char *unit = *end ? strchr(units, *end) : NULL;

	if (unit) {
		n <<= 10 * (unit - units + 1);
		end++;
	}
	if (end == text || *end || !n)
		errx(2, "%s is not a size", text);
	return n;
}

/*
 * Seals a file. Returns the descriptor, or -1 with errno. After ERANGE, *align
 * is the largest that would do.
 */
static int seal(const char *path, uint64_t *align)
{
	struct daxfile_seal arg = { .align = *align };
	int control, fd, error;

	control = open(CONTROL, O_RDWR | O_CLOEXEC);
	if (control < 0)
		err(1, "%s (is the module daxfile loaded?)", CONTROL);
	arg.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (arg.fd < 0)
		err(1, "%s", path);

	fd = ioctl(control, DAXFILE_SEAL, &arg);
	error = errno;
	*align = arg.align;
	close(arg.fd);
	close(control);
	errno = error;
	return fd;
}

/* Fills a file with zeros, so that its blocks are allocated and written. */
static int fill(int fd, uint64_t size)
{
	size_t chunk = 2 << 20;
	char *zeros = calloc(1, chunk);
	uint64_t done = 0;

	if (!zeros || fallocate(fd, 0, 0, size))
		return errno;
	while (done < size) {
		size_t want = size - done < chunk ? size - done : chunk;
		ssize_t n = pwrite(fd, zeros, want, done);

		if (n < 0)
			return errno;
		done += n;
	}
	free(zeros);
	return fsync(fd) ? errno : 0;
}

/* Asks for extents of a multiple of align; only some file systems know that. */
static void hint(int fd, uint64_t align)
{
	struct fsxattr attr;

	if (ioctl(fd, FS_IOC_FSGETXATTR, &attr))
		return;
	attr.fsx_xflags |= FS_XFLAG_EXTSIZE;
	attr.fsx_extsize = align;
	ioctl(fd, FS_IOC_FSSETXATTR, &attr);
}

static int create(const char *path, uint64_t size, uint64_t align)
{
	char *names[TRIES] = { NULL };
	int tries, error = 0;
	uint64_t got = align;

	if (size % align)
		errx(1, "the size must be a multiple of the align");
	if (!access(path, F_OK))
		errx(1, "%s exists", path);

	/*
	 * The file system chooses the blocks. If they do not fit, keep them while
	 * it chooses others.
	 */
	for (tries = 0; tries < TRIES; tries++) {
		int fd;

		if (asprintf(&names[tries], "%s.daxfile-%d-%d", path, getpid(), tries) < 0)
			errx(1, "there is not enough memory");
		fd = open(names[tries], O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0)
			err(1, "%s", names[tries]);
		hint(fd, align);
		error = fill(fd, size);
		close(fd);
		if (error)
			break;

		got = align;
		fd = seal(names[tries], &got);
		error = errno;
		if (fd >= 0) {
			close(fd);
			error = 0;
			if (rename(names[tries], path))
				error = errno;
			break;
		}
		if (error != ERANGE)
			break;
	}
	for (int i = 0; i < TRIES && names[i]; i++)
		if (error || i != tries)
			unlink(names[i]);

	if (error == ERANGE)
		errx(1, "%s: the file system has no blocks that fit the align; the largest that it gave would fit 0x%llx",
		     path, (unsigned long long)got);
	errno = error;
	if (error)
		err(1, "%s cannot be made and sealed", path);
	printf("%s: %llu bytes, align 0x%llx\n", path, (unsigned long long)size,
	       (unsigned long long)align);
	return 0;
}

/* Seals a file with the largest align that it allows. */
static int seal_largest(const char *path, uint64_t *align)
{
	int fd = -1;

	for (size_t i = 0; i < sizeof(aligns) / sizeof(*aligns); i++) {
		*align = aligns[i];
		fd = seal(path, align);
		if (fd < 0 && errno == ERANGE)
			fd = seal(path, align);
		/* EINVAL: the length is not a multiple of this one. */
		if (fd >= 0 || errno != EINVAL)
			break;
	}
	return fd;
}

static int hold(const char *path, uint64_t align, char **command)
{
	char text[16], buffer[256];
	int fd;

	fd = align ? seal(path, &align) : seal_largest(path, &align);
	if (fd < 0 && errno == ERANGE)
		errx(1, "%s: the largest align that would do is 0x%llx", path,
		     (unsigned long long)align);
	if (fd < 0)
		err(1, "%s (the kernel's log may say why)", path);

	if (*command) {
		snprintf(text, sizeof(text), "%d", fd);
		if (setenv("DAXFILE_FD", text, 1) || fcntl(fd, F_SETFD, 0))
			err(1, "%s", path);
		execvp(*command, command);
		err(127, "%s", *command);
	}
	printf("%s: sealed, align 0x%llx\n", path, (unsigned long long)align);
	fflush(stdout);
	while (read(STDIN_FILENO, buffer, sizeof(buffer)) > 0)
		;
	return 0;
}

/* Copies the value of a line of fdinfo, if the line is this one. */
static void field(const char *line, const char *name, char *value, size_t size)
{
	size_t len = strlen(name);

	if (strncmp(line, name, len) || line[len] != ':')
		return;
	snprintf(value, size, "%s", line + len + 2);
	value[strcspn(value, "\n")] = 0;
}

static void info_of(const char *pid, const char *fd)
{
	char path[4096] = "", align[32] = "", size[32] = "", sealer[64] = "", memory[32] = "";
	char extents[32] = "", name[1024], *line = NULL;
	size_t len = 0;
	FILE *f;

	snprintf(name, sizeof(name), "/proc/%s/fdinfo/%s", pid, fd);
	f = fopen(name, "re");
	if (!f)
		return;
	while (getline(&line, &len, f) > 0) {
		field(line, "daxfile-path", path, sizeof(path));
		field(line, "daxfile-align", align, sizeof(align));
		field(line, "daxfile-size", size, sizeof(size));
		field(line, "daxfile-sealer", sealer, sizeof(sealer));
		field(line, "daxfile-memory", memory, sizeof(memory));
		field(line, "daxfile-extents", extents, sizeof(extents));
	}
	free(line);
	fclose(f);
	if (*path)
		printf("%s fd %s align %s size %s extents %s memory %s sealer %s path %s\n", pid, fd,
		       align, size, extents, memory, sealer, path);
}

/* Tells whether a process maps a sealed file, whose descriptor may be closed. */
static bool maps_sealed(const char *pid)
{
	char name[1024], *line = NULL;
	bool found = false;
	size_t len = 0;
	FILE *f;

	snprintf(name, sizeof(name), "/proc/%s/maps", pid);
	f = fopen(name, "re");
	if (!f)
		return false;
	while (!found && getline(&line, &len, f) > 0)
		found = strstr(line, "anon_inode:[daxfile]");
	free(line);
	fclose(f);
	return found;
}

static int info(void)
{
	struct dirent *process, *entry;
	char name[1024];
	DIR *proc, *fds;

	proc = opendir("/proc");
	if (!proc)
		err(1, "/proc");
	while ((process = readdir(proc))) {
		if (!isdigit((unsigned char)process->d_name[0]))
			continue;
		snprintf(name, sizeof(name), "/proc/%s/fdinfo", process->d_name);
		fds = opendir(name);
		while (fds && (entry = readdir(fds)))
			if (entry->d_name[0] != '.')
				info_of(process->d_name, entry->d_name);
		if (fds)
			closedir(fds);
		if (maps_sealed(process->d_name))
			printf("%s maps a sealed file\n", process->d_name);
	}
	closedir(proc);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t align = 0;
	const char *what;
	int option;

	if (argc < 2)
		print_usage();
	what = argv[1];
	optind = 2;
	while ((option = getopt(argc, argv, "+a:")) == 'a')
		align = number(optarg);
	if (option != -1)
		print_usage();

	if (!strcmp(what, "create") && argc - optind == 2)
		return create(argv[optind], number(argv[optind + 1]), align ? align : 2 << 20);
	if (!strcmp(what, "seal") && argc - optind >= 1)
		return hold(argv[optind], align, argv + optind + 1);
	if (!strcmp(what, "info") && argc == optind)
		return info();
	print_usage();
	return 2;
}
