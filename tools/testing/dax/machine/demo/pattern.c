// SPDX-License-Identifier: GPL-2.0
/*
 * pattern write|verify DEVICE BYTES SEED
 *
 * Map the first BYTES of a device DAX. "write" fills them with numbers made from
 * SEED and the offset; "verify" checks that they are there. Prints what it did and
 * the number of page faults.
 */
#include <emmintrin.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define CACHE_LINE 64

static uint64_t pattern(uint64_t seed, size_t i)
{
	return (seed ^ i) * 0x9e3779b97f4a7c15ull;
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

int main(int argc, char **argv)
{
	size_t bytes, words, i, good = 0;
	uint64_t *map, seed;
	int fd, writing;
	long before;

	if (argc != 5)
		return 2;
	writing = !strcmp(argv[1], "write");
	bytes = strtoull(argv[3], NULL, 0);
	words = bytes / sizeof(*map);
	seed = strtoull(argv[4], NULL, 0);

	fd = open(argv[2], O_RDWR);
	if (fd < 0) {
		perror(argv[2]);
		return 1;
	}
	map = mmap(NULL, bytes, writing ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	printf("  mapped      %zu MiB of %s at %p\n", bytes >> 20, argv[2], (void *)map);

	before = faults();
	if (writing) {
		for (i = 0; i < words; i++)
			map[i] = pattern(seed, i);
		/* Device DAX has no fsync. Data that has left the caches is durable. */
		for (i = 0; i < words; i += CACHE_LINE / sizeof(*map))
			_mm_clflush(map + i);
		_mm_sfence();
		good = words;
	} else {
		for (i = 0; i < words; i++)
			good += map[i] == pattern(seed, i);
	}
	printf("  faults      %ld\n", faults() - before);
	printf(writing ? "  written     %zu of %zu words, pattern %#" PRIx64 ", flushed\n"
		       : "  found       %zu of %zu words as written, pattern %#" PRIx64 "\n",
	       good, words, seed);
	return good != words;
}
