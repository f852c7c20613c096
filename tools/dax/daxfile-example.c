// SPDX-License-Identifier: GPL-2.0
/*
 * Append a record to a log in a file, durable without fsync(): "daxfile-example /mnt/log TEXT".
 * "daxfile create /mnt/log 2M" makes the log.
 */
#include <cpuid.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/daxfile.h>

/* A record is one cache line. The number of the first one is 1. A place with another number is free. */
struct record {
	uint64_t number;
	char text[56];
};

/* Write the cache line of a record back to the memory, as pmem_persist() does. */
static void persist(const struct record *r)
{
	unsigned int eax, ebx = 0, ecx, edx;

	__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx);
	if (ebx & bit_CLWB)
		asm volatile("clwb %0" : : "m"(*r) : "memory");
	else
		asm volatile("clflush %0" : : "m"(*r) : "memory");
	asm volatile("sfence" : : : "memory");
}

/* Seal a file. Returns a descriptor that is mapped like /dev/daxX.Y. */
static int seal(const char *path, size_t *length)
{
	struct daxfile_seal arg = { .align = 2 << 20 };
	int control, fd;
	struct stat st;

	control = open("/dev/daxfile", O_RDWR);
	if (control < 0)
		err(1, "/dev/daxfile");
	/* Not for writing: that would refuse the seal. */
	arg.fd = open(path, O_RDONLY);
	if (arg.fd < 0 || fstat(arg.fd, &st))
		err(1, "%s", path);
	*length = st.st_size;

	fd = ioctl(control, DAXFILE_SEAL, &arg);
	/* The blocks do not fit this align, and arg.align is now the largest one that they fit. */
	if (fd < 0 && errno == ERANGE)
		fd = ioctl(control, DAXFILE_SEAL, &arg);
	if (fd < 0)
		err(1, "%s cannot be sealed (the kernel's log may say why)", path);
	close(arg.fd);
	close(control);
	return fd;
}

int main(int argc, char **argv)
{
	struct record *log;
	size_t length, n;
	int fd;

	if (argc != 3)
		errx(1, "give me a file and a text");
	fd = seal(argv[1], &length);
	log = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (log == MAP_FAILED)
		err(1, "mmap %s (the kernel's log may say why)", argv[1]);
	/* The mapping keeps the seal. */
	close(fd);

	for (n = 0; n < length / sizeof(*log) && log[n].number == n + 1; n++)
		printf("%llu %s\n", (unsigned long long)log[n].number, log[n].text);
	if (n == length / sizeof(*log))
		errx(1, "%s is full", argv[1]);

	/* The number makes it a record, so the text must be durable before. */
	snprintf(log[n].text, sizeof(log[n].text), "%s", argv[2]);
	persist(&log[n]);
	log[n].number = n + 1;
	persist(&log[n]);
	printf("%llu %s\n", (unsigned long long)log[n].number, log[n].text);

	/* This ends the seal. */
	munmap(log, length);
	return 0;
}
