/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * daxfile: files on persistent memory that are mapped like a device.
 *
 * See Documentation/admin-guide/daxfile.rst.
 */
#ifndef _UAPI_LINUX_DAXFILE_H
#define _UAPI_LINUX_DAXFILE_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * struct daxfile_seal - argument of DAXFILE_SEAL
 * @fd: in: a descriptor of the file, open for reading only
 * @flags: in: 0
 * @align: in: the size of each page table entry in bytes: that of a pte, pmd
 *	or pud. out: with ERANGE, the largest value that would do
 */
struct daxfile_seal {
	__s32 fd;
	__u32 flags;
	__u64 align;
};

#define DAXFILE_IOC_TYPE	0xDA

/*
 * Seals a file. Returns a descriptor, close-on-exec, that is mapped like
 * /dev/daxX.Y. The seal ends when the last descriptor and the last mapping of
 * it are gone.
 */
#define DAXFILE_SEAL		_IOWR(DAXFILE_IOC_TYPE, 1, struct daxfile_seal)

#endif /* _UAPI_LINUX_DAXFILE_H */
