// SPDX-License-Identifier: GPL-2.0
/* Map the first entry of a device: "example /dev/dax0.0". */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The align of the device: length and offset of a mapping are multiples of it. */
static size_t align_of(const char *node)
{
	const char *name = strrchr(node, '/');
	char path[256];
	size_t align;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/bus/dax/devices/%s/align",
		 name ? name + 1 : node);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%zu", &align) != 1)
		err(1, "%s", path);
	fclose(f);
	return align;
}

int main(int argc, char **argv)
{
	size_t length;
	uint64_t *count;
	int fd;

	if (argc != 2)
		errx(1, "give me a device, such as /dev/dax0.0");
	length = align_of(argv[1]);

	fd = open(argv[1], O_RDWR);
	if (fd < 0)
		err(1, "%s", argv[1]);

	/* A shared mapping of whole entries from offset 0, at any address. */
	count = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (count == MAP_FAILED)
		err(1, "mmap %s (the kernel's log may say why)", argv[1]);
	/* The mapping stays valid without the file descriptor. */
	close(fd);

	/* This raises SIGBUS if the driver was unbound in the meantime. */
	*count += 1;
	printf("%zu bytes mapped, run number %llu\n", length,
	       (unsigned long long)*count);

	munmap(count, length);
	return 0;
}
