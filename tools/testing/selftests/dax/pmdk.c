// SPDX-License-Identifier: GPL-2.0
/*
 * pmdk: a store that libpmemobj keeps in a device, and a mapping made by libpmem2.
 *
 * pmdk DEVICE add N    add N entries, each in a transaction
 * pmdk DEVICE log      add entries until the end, and print "store N" after entry N is committed
 * pmdk DEVICE log early   print it before entry N - 1 is committed
 * pmdk DEVICE abort    add an entry, and abort the transaction
 * pmdk DEVICE die      add an entry, and get killed before the transaction is committed
 * pmdk DEVICE list     verify all entries, and print how many there are
 * pmdk DEVICE map      map the device with libpmem2; print its size, and the granularity of stores
 * pmdk DEVICE persist OFFSET TEXT   write a text there with libpmem2, and make it durable
 */
#include <fcntl.h>
#include <libpmem2.h>
#include <libpmemobj.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

POBJ_LAYOUT_BEGIN(store);
POBJ_LAYOUT_ROOT(store, struct root);
POBJ_LAYOUT_TOID(store, struct entry);
POBJ_LAYOUT_END(store);

struct entry {
	TOID(struct entry) next;
	uint64_t number, check;
	char data[200];
};

struct root {
	TOID(struct entry) first;
	uint64_t count;
};

static uint64_t check_of(uint64_t number)
{
	return number * 0x9e3779b97f4a7c15UL ^ 0xda;
}

static void die(void)
{
	kill(getpid(), SIGKILL);
}

static void stop(void)
{
	pmemobj_tx_abort(-1);
}

/* Add an entry in a transaction that calls MIDWAY before its end. */
static int add(PMEMobjpool *pool, TOID(struct root) root, void (*midway)(void))
{
	int status = 0;

	TX_BEGIN(pool) {
		TOID(struct entry) entry = TX_NEW(struct entry);
		uint64_t number = D_RO(root)->count;

		D_RW(entry)->number = number;
		D_RW(entry)->check = check_of(number);
		memset(D_RW(entry)->data, (int)number, sizeof(D_RW(entry)->data));
		D_RW(entry)->next = D_RO(root)->first;
		TX_ADD(root);
		D_RW(root)->first = entry;
		D_RW(root)->count = number + 1;
		if (midway)
			midway();
	} TX_ONABORT {
		status = 1;
	} TX_END
	return status;
}

static int list(TOID(struct root) root)
{
	TOID(struct entry) entry;
	uint64_t left = D_RO(root)->count;

	for (entry = D_RO(root)->first; !TOID_IS_NULL(entry); entry = D_RO(entry)->next) {
		if (!left--) {
			puts("more entries than the count says");
			return 1;
		}
		if (D_RO(entry)->number != left || D_RO(entry)->check != check_of(left) ||
		    D_RO(entry)->data[199] != (char)left) {
			printf("entry %lu is wrong\n", left);
			return 1;
		}
	}
	if (left) {
		printf("%lu entries are missing\n", left);
		return 1;
	}
	printf("%lu\n", D_RO(root)->count);
	return 0;
}

static int objects(const char *path, const char *what, const char *number)
{
	TOID(struct root) root;
	PMEMobjpool *pool = pmemobj_open(path, POBJ_LAYOUT_NAME(store));
	int status = 0;

	if (!pool) {
		printf("%s\n", pmemobj_errormsg());
		return 1;
	}
	root = POBJ_ROOT(pool, struct root);
	if (!strcmp(what, "add")) {
		for (int i = atoi(number); i > 0 && !status; i--)
			status = add(pool, root, NULL);
	} else if (!strcmp(what, "log")) {
		setlinebuf(stdout);
		while (!status) {
			if (number)
				printf("store %lu\n", D_RO(root)->count + 1);
			status = add(pool, root, NULL);
			if (!number)
				printf("store %lu\n", D_RO(root)->count - 1);
		}
	} else if (!strcmp(what, "abort")) {
		status = add(pool, root, stop);
	} else if (!strcmp(what, "die")) {
		status = add(pool, root, die);
	} else {
		status = list(root);
	}
	pmemobj_close(pool);
	return status;
}

static int mapping(const char *path, const char *offset, const char *text)
{
	struct pmem2_config *config;
	struct pmem2_source *source;
	struct pmem2_map *map;
	int file = open(path, O_RDWR);

	if (file < 0 || pmem2_config_new(&config) || pmem2_source_from_fd(&source, file) ||
	    pmem2_config_set_required_store_granularity(config, PMEM2_GRANULARITY_CACHE_LINE) ||
	    pmem2_map_new(&map, config, source)) {
		printf("%s\n", pmem2_errormsg());
		return 1;
	}
	if (text) {
		char *at = (char *)pmem2_map_get_address(map) + strtoul(offset, NULL, 0);

		pmem2_get_memcpy_fn(map)(at, text, strlen(text) + 1, 0);
	} else {
		printf("%zu %d\n", pmem2_map_get_size(map), pmem2_map_get_store_granularity(map));
	}
	return !!pmem2_map_delete(&map);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[2], "map"))
		return mapping(argv[1], NULL, NULL);
	if (argc == 5 && !strcmp(argv[2], "persist"))
		return mapping(argv[1], argv[3], argv[4]);
	if (argc < 3 || (!strcmp(argv[2], "add") && argc < 4))
		return 2;
	return objects(argv[1], argv[2], argv[3]);
}
