// SPDX-License-Identifier: GPL-2.0
/*
 * softreserve: an EFI application that marks memory as special-purpose, then starts Linux.
 *
 * QEMU's firmware for arm64 has no means to do so, and Linux for arm64 no parameter memmap=. The
 * firmware starts this program in place of the kernel, with the kernel as the initial ramdisk and
 * with the kernel's command line, from which it takes
 *
 *	softreserve=START,LENGTH	(hexadecimal)
 *
 * Linux then finds the range in the memory map with the attribute EFI_MEMORY_SP. The declarations
 * follow the UEFI and PI specifications; members that are not used here are only counted.
 */
typedef unsigned long long u64;
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;
typedef u64 efi_status_t;

#define MEMORY_SP 0x40000ULL
#define MODE_READ 1ULL
#define LOADER_DATA 2

struct guid {
	u32 a;
	u16 b, c;
	u8 d[8];
};

struct space {
	u64 base, length, capabilities, attributes;
	u32 type;
	void *image, *device;
};

/* The DXE services. */
struct dxe {
	u8 header[24];
	void *add, *allocate, *free, *remove;
	efi_status_t (*get)(u64 base, struct space *space);
	void *set_attributes, *map, *io[6], *dispatch, *schedule, *trust, *volume;
	efi_status_t (*set_capabilities)(u64 base, u64 length, u64 capabilities);
};

struct boot {
	u8 header[24];
	void *tpl[2];
	void *pages[3];
	efi_status_t (*allocate)(u32 type, u64 size, void **buffer);
	void *free;
	void *event[6];
	void *protocol[3];
	efi_status_t (*handle_protocol)(void *handle, const struct guid *guid, void **interface);
	void *more[4];
	void *install_table;
	efi_status_t (*load_image)(u8 policy, void *parent, void *path, void *source, u64 size, void **image);
	efi_status_t (*start_image)(void *image, u64 *size, u16 **data);
};

struct console {
	void *reset;
	efi_status_t (*output)(struct console *console, u16 *text);
};

struct system {
	u8 header[24];
	u16 *vendor;
	u32 revision;
	void *in[2];
	void *out_handle;
	struct console *out;
	void *err[2];
	void *runtime;
	struct boot *boot;
	u64 tables;
	struct {
		struct guid guid;
		void *table;
	} *table;
};

struct image {
	u32 revision;
	void *parent;
	struct system *system;
	void *device;
	void *path;
	void *reserved;
	u32 options_size;
	u16 *options;
};

struct file {
	u64 revision;
	efi_status_t (*open)(struct file *file, struct file **new, u16 *name, u64 mode, u64 attributes);
	void *close, *delete;
	efi_status_t (*read)(struct file *file, u64 *size, void *buffer);
	void *write;
	efi_status_t (*get_position)(struct file *file, u64 *position);
	efi_status_t (*set_position)(struct file *file, u64 position);
};

struct file_system {
	u64 revision;
	efi_status_t (*open_volume)(struct file_system *system, struct file **root);
};

static const struct guid dxe_guid = { 0x05ad34ba, 0x6f02, 0x4214,
	{ 0x95, 0x2e, 0x4d, 0xa0, 0x39, 0x8e, 0x2b, 0xb9 } };
static const struct guid image_guid = { 0x5b1b31a1, 0x9562, 0x11d2,
	{ 0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b } };
static const struct guid file_system_guid = { 0x964e5b22, 0x6459, 0x11d2,
	{ 0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b } };

static struct system *efi;

static int same(const struct guid *x, const struct guid *y)
{
	const u8 *a = (const u8 *)x, *b = (const u8 *)y;

	for (int i = 0; i < 16; i++)
		if (a[i] != b[i])
			return 0;
	return 1;
}

static efi_status_t complain(u16 *what, efi_status_t error)
{
	efi->out->output(efi->out, u"softreserve: failed: ");
	efi->out->output(efi->out, what);
	efi->out->output(efi->out, u"\r\n");
	return error;
}

/* Read a hexadecimal number, with or without 0x, and go behind it. */
static u64 number(u16 **at, u16 *end)
{
	u64 value = 0;

	if (end - *at > 2 && (*at)[0] == '0' && (*at)[1] == 'x')
		*at += 2;
	for (; *at < end; ++*at) {
		u16 c = **at;

		if (c >= '0' && c <= '9')
			value = value << 4 | (c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (c - 'a' + 10);
		else
			break;
	}
	return value;
}

/* Mark each range of the memory map of the firmware that is in this range. */
static efi_status_t mark(struct dxe *dxe, u64 start, u64 length)
{
	u64 end = start + length;

	while (start < end) {
		struct space space;
		efi_status_t error = dxe->get(start, &space);
		u64 until;

		if (error)
			return error;
		until = space.base + space.length;
		if (until > end)
			until = end;
		error = dxe->set_capabilities(start, until - start, space.capabilities | MEMORY_SP);
		if (error)
			return error;
		start = until;
	}
	return 0;
}

efi_status_t efi_main(void *handle, struct system *system)
{
	static const char key[] = "softreserve=";
	struct file_system *files;
	struct image *self, *kernel;
	struct file *root, *file;
	struct dxe *dxe = 0;
	u64 size = 0, start, length;
	u16 *at, *end;
	void *image, *data;
	efi_status_t error;

	efi = system;
	for (u64 i = 0; i < efi->tables; i++)
		if (same(&efi->table[i].guid, &dxe_guid))
			dxe = efi->table[i].table;
	error = efi->boot->handle_protocol(handle, &image_guid, (void **)&self);
	if (error || !dxe)
		return complain(u"no DXE services", error);

	end = self->options + self->options_size / 2;
	for (at = self->options; at < end; at++) {
		int i;

		for (i = 0; key[i] && at + i < end && at[i] == key[i]; i++)
			;
		if (key[i])
			continue;
		at += i;
		start = number(&at, end);
		if (at++ == end)
			break;
		length = number(&at, end);
		error = mark(dxe, start, length);
		if (error)
			return complain(u"the firmware does not mark the range", error);
	}

	error = efi->boot->handle_protocol(self->device, &file_system_guid, (void **)&files);
	if (!error)
		error = files->open_volume(files, &root);
	if (!error)
		error = root->open(root, &file, u"initrd", MODE_READ, 0);
	/* Its end is its size. */
	if (!error)
		error = file->set_position(file, ~0ULL);
	if (!error)
		error = file->get_position(file, &size);
	if (!error)
		error = file->set_position(file, 0);
	if (!error)
		error = efi->boot->allocate(LOADER_DATA, size, &data);
	if (!error)
		error = file->read(file, &size, data);
	if (error)
		return complain(u"the kernel cannot be read", error);

	error = efi->boot->load_image(0, handle, 0, data, size, &image);
	if (!error)
		error = efi->boot->handle_protocol(image, &image_guid, (void **)&kernel);
	if (error)
		return complain(u"the kernel cannot be loaded", error);
	kernel->device = self->device;
	kernel->options = self->options;
	kernel->options_size = self->options_size;
	return efi->boot->start_image(image, 0, 0);
}
