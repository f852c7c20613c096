/* SPDX-License-Identifier: GPL-2.0 */
/* The benchmark of device DAX; see bench.c. */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>

#define KIB4 (1UL << 12)
#define MIB2 (1UL << 21)
#define GIB (1UL << 30)
#define MAX_SAMPLES 4096

extern int rounds;
extern int following;		/* whether some operations are to be followed */

__attribute__((format(printf, 1, 2), noreturn)) void die(const char *format, ...);

/* Counting */

extern uint64_t overhead;
extern int followed;		/* the current operation is also followed from outside */

static inline __attribute__((always_inline)) uint64_t now(void)
{
	uint32_t low, high;

	asm volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

void marked(void);

/* The instructions that OPERATION takes. */
#define COUNT(operation) ({ \
	uint64_t begun, count_; \
	if (followed) \
		marked(); \
	begun = now(); \
	operation; \
	count_ = now() - begun - overhead; \
	if (followed) \
		marked(); \
	count_; \
})

/* Run an operation once more, to be followed as KEY. */
#define FOLLOW(key, what) do { \
	printf("followed %s\n", key); \
	followed = 1; \
	what; \
	followed = 0; \
} while (0)

/* The counts of one operation. The size is fixed: an allocation would disturb the counts. */
struct series {
	int n;
	uint64_t at[MAX_SAMPLES];
};

void add(struct series *s, uint64_t count);
uint64_t median(struct series *s);
/* Print the counts as row KEY-NAME, and clear them. */
void row(const char *key, const char *name, struct series *s);
/* The same with the first quartile, if an operation takes about as long as timer interrupts are apart. */
void row_low(const char *key, const char *name, struct series *s);
void row_at(const char *key, int where, struct series *s);

/* Mappings */

#define READ(p) ((void)*(volatile char *)(p))
#define WRITE(p) (*(volatile char *)(p) = 1)

/* A device and how it is used here. */
struct device {
	const char *name, *path;
	size_t align, window;
	size_t stride;		/* distance of touches that do not affect each other */
	int fd;
	int flags;		/* of mmap() of a file; 0 for a device */
};

char *map(int fd, size_t length);
void unmap(void *p, size_t length);
char *aligned(char *p, size_t align);
void first_touch(const struct device *d, int write, struct series *s);
/* Map with MAP_POPULATE to FILL, and unmap to CLEAR. */
void populate(const struct device *d, size_t length, struct series *fill, struct series *clear);

/* Devices of a dynamic region, by sysfs. Functions that return a count return -1 on failure. */

#define DRIVER "/sys/bus/dax/drivers/device_dax"
#define KMEM "/sys/bus/dax/drivers/kmem"

extern char region[4096];	/* the directory of the region's attributes */
extern const char *failed;	/* the attribute that refused; errno has the reason */

void find_region(void);
const char *device(int id);
int64_t put(const char *directory, const char *name, const char *value);
int64_t get(const char *directory, const char *name, char *text, size_t size);
int64_t set_size(int id, const char *size);
int64_t create_device(void);
int64_t delete_device(int id);
int64_t empty(int id);
int empty_device(void);
int refuse(const char *key, int where);
uint64_t allocated(void);
struct device device_of(char *spec, const char *align, const char *size);

/* The parts in other files */

void files(char **mounts);
void load(char **arguments);
void all(char **stops);
void whole(void);
void whole_guard(char *spec);
void huge(void);

#endif
