// SPDX-License-Identifier: GPL-2.0
/*
 * vfio: let a PCI device read and write the memory of a DAX device by DMA.
 *
 *	vfio PCI-ADDRESS DEVICE SIZE HOW
 *
 * The PCI device is QEMU's "edu", bound to vfio-pci. It copies up to 4 KiB between the machine's memory
 * and a buffer of its own. HOW is "type1", or the character device of the PCI device for iommufd. The program maps the first SIZE bytes of the DAX device and reads commands,
 * one in a line, and answers each with "ok" or the error:
 *
 *	map		let the PCI device access the mapping: its pages are pinned
 *	unmap		end that
 *	fill OFFSET N	write a pattern to the page at OFFSET
 *	read OFFSET	let the PCI device read the page at OFFSET into its buffer
 *	write OFFSET	let it write its buffer to the page at OFFSET
 *	same OFFSET N	compare the page at OFFSET with a pattern
 *	munmap		remove the mapping of this process
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/iommufd.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#define PAGE 4096UL
/* The device has 28 bits of address. */
#define IOVA 0x1000000UL

/* Registers of the device, and its buffer as it sees it. */
#define DMA_FROM 0x80
#define DMA_TO 0x88
#define DMA_LENGTH 0x90
#define DMA_COMMAND 0x98
#define START 1
#define TO_MEMORY 2
#define BUFFER 0x40000

static char *memory;
static volatile char *registers;
static size_t size;
static int container = -1, device = -1, iommufd;
static uint32_t ioas;

static void die(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_or_die(const char *path)
{
	int fd = open(path, O_RDWR);

	if (fd < 0)
		die(path);
	return fd;
}

static void by_type1(const char *address)
{
	char path[PATH_MAX], target[PATH_MAX];
	struct vfio_group_status status = { .argsz = sizeof(status) };
	ssize_t length;
	int group;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", address);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		die(path);
	target[length] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/%s", basename(target));
	container = open_or_die("/dev/vfio/vfio");
	group = open_or_die(path);
	if (ioctl(group, VFIO_GROUP_GET_STATUS, &status) || !(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		die("the group is not viable");
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) || ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		die("VFIO_SET_IOMMU");
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, address);
	if (device < 0)
		die("VFIO_GROUP_GET_DEVICE_FD");
}

/* PATH: the character device of the PCI device */
static void by_iommufd(const char *path)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };

	container = open_or_die("/dev/iommu");
	device = open_or_die(path);
	bind.iommufd = container;
	if (ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		die("VFIO_DEVICE_BIND_IOMMUFD");
	if (ioctl(container, IOMMU_IOAS_ALLOC, &alloc))
		die("IOMMU_IOAS_ALLOC");
	ioas = alloc.out_ioas_id;
	attach.pt_id = ioas;
	if (ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach))
		die("VFIO_DEVICE_ATTACH_IOMMUFD_PT");
}

static void map_registers(void)
{
	struct vfio_region_info bar = { .argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX };
	struct vfio_region_info config = { .argsz = sizeof(config), .index = VFIO_PCI_CONFIG_REGION_INDEX };
	uint16_t command;

	if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &bar) || ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &config))
		die("VFIO_DEVICE_GET_REGION_INFO");
	if (pread(device, &command, sizeof(command), config.offset + PCI_COMMAND) != sizeof(command))
		die("reading PCI_COMMAND");
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	if (pwrite(device, &command, sizeof(command), config.offset + PCI_COMMAND) != sizeof(command))
		die("writing PCI_COMMAND");
	registers = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, bar.offset);
	if (registers == MAP_FAILED)
		die("mmap of the registers");
}

static int map_dma(void)
{
	struct vfio_iommu_type1_dma_map type1 = {
		.argsz = sizeof(type1), .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory, .iova = IOVA, .size = size,
	};
	struct iommu_ioas_map map = {
		.size = sizeof(map), .ioas_id = ioas, .user_va = (uintptr_t)memory, .length = size, .iova = IOVA,
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
	};

	return iommufd ? ioctl(container, IOMMU_IOAS_MAP, &map) : ioctl(container, VFIO_IOMMU_MAP_DMA, &type1);
}

static int unmap_dma(void)
{
	struct vfio_iommu_type1_dma_unmap type1 = { .argsz = sizeof(type1), .iova = IOVA, .size = size };
	struct iommu_ioas_unmap unmap = { .size = sizeof(unmap), .ioas_id = ioas, .iova = IOVA, .length = size };

	return iommufd ? ioctl(container, IOMMU_IOAS_UNMAP, &unmap) : ioctl(container, VFIO_IOMMU_UNMAP_DMA, &type1);
}

static void set(size_t which, uint64_t value)
{
	*(volatile uint64_t *)(registers + which) = value;
}

/* Returns whether the device ended within a second. */
static int transfer(uint64_t from, uint64_t to, uint64_t command)
{
	int i;

	set(DMA_FROM, from);
	set(DMA_TO, to);
	set(DMA_LENGTH, PAGE);
	set(DMA_COMMAND, START | command);
	for (i = 0; i < 1000; i++) {
		if (!(*(volatile uint64_t *)(registers + DMA_COMMAND) & START))
			return 0;
		usleep(1000);
	}
	errno = ETIMEDOUT;
	return -1;
}

static uint64_t word(size_t i, unsigned long n)
{
	return (i + n) * 0x9e3779b97f4a7c15UL;
}

static int fill(uint64_t *page, unsigned long n)
{
	for (size_t i = 0; i < PAGE / sizeof(*page); i++)
		page[i] = word(i, n);
	return 0;
}

static int same(const uint64_t *page, unsigned long n)
{
	errno = EILSEQ;
	for (size_t i = 0; i < PAGE / sizeof(*page); i++)
		if (page[i] != word(i, n))
			return -1;
	return 0;
}

static int obey(const char *command, size_t offset, unsigned long n)
{
	errno = EINVAL;
	if (offset + PAGE > size)
		return -1;
	if (!strcmp(command, "map"))
		return map_dma();
	if (!strcmp(command, "unmap"))
		return unmap_dma();
	if (!strcmp(command, "read"))
		return transfer(IOVA + offset, BUFFER, 0);
	if (!strcmp(command, "write"))
		return transfer(BUFFER, IOVA + offset, TO_MEMORY);
	if (memory && !strcmp(command, "fill"))
		return fill((uint64_t *)(memory + offset), n);
	if (memory && !strcmp(command, "same"))
		return same((uint64_t *)(memory + offset), n);
	if (memory && !strcmp(command, "munmap")) {
		int status = munmap(memory, size);

		memory = NULL;
		return status;
	}
	return -1;
}

int main(int argc, char **argv)
{
	char line[64], command[16];
	int file;

	setlinebuf(stdout);
	if (argc != 5)
		return 2;
	file = open_or_die(argv[2]);
	size = strtoul(argv[3], NULL, 0);
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	close(file);
	iommufd = argv[4][0] == '/';
	if (iommufd)
		by_iommufd(argv[4]);
	else
		by_type1(argv[1]);
	map_registers();
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		unsigned long offset = 0, n = 0;

		if (sscanf(line, "%15s %li %lu", command, (long *)&offset, &n) < 1)
			command[0] = 0;
		puts(obey(command, offset, n) ? strerror(errno) : "ok");
	}
	return 0;
}
