// SPDX-License-Identifier: GPL-2.0
/*
 * bare: the program of a virtual machine that runs nothing else, and is up at once.
 *
 * QEMU loads it by the multiboot protocol, in 32-bit mode without paging, so addresses are physical.
 * It reads commands from the second serial port, one in a line, and answers each with a line. The
 * commands are those of nested-init.c, and "far TEXT", which writes to the RAM at 4 GiB. If a command
 * touches memory that has failed, the answer is the address that the machine check reports.
 */
#include <stdint.h>

#define PORT 0x2f8

/* The header: magic number; flags, to be given the size of memory; checksum. */
asm(".pushsection .text, \"ax\"\n"
	".align 4\n"
	".long 0x1badb002, 2, -(0x1badb002 + 2)\n"
	".globl _start\n"
	"_start: mov $stack_end, %esp\n"
	"push %ebx\n"
	"call run\n"
	".popsection\n"
	".pushsection .bss, \"aw\", @nobits\n"
	".align 16\n"
	".skip 16384\n"
	"stack_end:\n"
	".popsection\n"
	/* What the processor did before a machine check is given up. */
	".pushsection .text, \"ax\"\n"
	"machine_check: mov $stack_end, %esp\n"
	"call failed\n"
	"call serve\n"
	".popsection\n");

static uint32_t memory_kb, filled;
static int counted;

/* Behind this program. */
static char *const page = (char *)(16 << 20);
static uint32_t *const pattern = (uint32_t *)(32 << 20);

static void out8(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
	uint8_t value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void out32(uint16_t port, uint32_t value)
{
	asm volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static uint32_t in32(uint16_t port)
{
	uint32_t value;

	asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void put(char c)
{
	while (!(in8(PORT + 5) & 0x20))
		;
	out8(PORT, c);
}

static char get(void)
{
	while (!(in8(PORT + 5) & 1))
		asm volatile("pause");
	return in8(PORT);
}

static void say(const char *text)
{
	while (*text)
		put(*text++);
}

static void answer(const char *text)
{
	say(text);
	put('\n');
}

static void answer_number(uint32_t number, uint32_t base)
{
	char digits[12], *at = digits + 11;

	*at = 0;
	do
		*--at = "0123456789abcdef"[number % base];
	while (number /= base);
	say(base == 16 ? "0x" : "");
	answer(at);
}

static uint64_t rdmsr(uint32_t msr)
{
	uint64_t value;

	asm volatile("rdmsr" : "=A"(value) : "c"(msr));
	return value;
}

static void wrmsr(uint32_t msr, uint64_t value)
{
	asm volatile("wrmsr" : : "c"(msr), "A"(value));
}

static uint32_t number(const char *text)
{
	uint32_t n = 0;

	while (*text >= '0' && *text <= '9')
		n = n * 10 + *text++ - '0';
	return n;
}

static int same(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

static void copy(volatile char *to, const char *from)
{
	do
		*to++ = *from;
	while (*from++);
}

static uint32_t word(uint32_t i)
{
	return i * 0x9e3779b1U ^ i >> 7;
}

static uint32_t pci(uint32_t device, uint32_t at)
{
	out32(0xcf8, 0x80000000 | device << 11 | at);
	return in32(0xcfc);
}

/* The memory of the PCI device ivshmem: its BAR 2. */
static char *shared(void)
{
	uint32_t device;

	for (device = 0; device < 32; device++) {
		if (pci(device, 0) != 0x11101af4)
			continue;
		/* Let it answer to accesses of memory. */
		out32(0xcf8, 0x80000000 | device << 11 | 4);
		out32(0xcfc, in32(0xcfc) | 2);
		if (!pci(device, 0x1c))
			return (char *)(pci(device, 0x18) & ~0xfU);
	}
	return 0;
}

/* The RAM at 4 GiB, at the address of 1 GiB. All other addresses stay physical. */
static char *far(void)
{
	static uint32_t directory[1024] __attribute__((aligned(4096)));
	uint32_t i;

	/* Entries of 4 MiB: present, writable. Bits 13 and up are bits 32 and up of the address. */
	for (i = 0; i < 1024; i++)
		directory[i] = i << 22 | 0x83;
	directory[256] = 1 << 13 | 0x83;
	asm volatile("mov %%cr4, %%eax; or $0x10, %%eax; mov %%eax, %%cr4\n"
		     "mov %0, %%cr3\n"
		     "mov %%cr0, %%eax; or $0x80000000, %%eax; mov %%eax, %%cr0\n"
		     : : "r"(directory) : "eax", "memory");
	return (char *)(1 << 30);
}

static void obey(const char *command, const char *argument)
{
	uint32_t i;

	if (same(command, "memory")) {
		answer_number(memory_kb, 10);
	} else if (same(command, "place")) {
		copy(page, argument);
		answer_number((uint32_t)page, 16);
	} else if (same(command, "far")) {
		copy(far(), argument);
		answer(far());
	} else if (same(command, "fill")) {
		filled = number(argument) << 18;
		for (i = 0; i < filled; i++)
			pattern[i] = word(i);
		answer("ok");
	} else if (same(command, "verify")) {
		for (i = 0; i < filled && pattern[i] == word(i); i++)
			;
		answer(!filled ? "empty" : i < filled ? "differs" : "ok");
	} else if (same(command, "count")) {
		answer_number(++counted, 10);
	} else if (same(command, "share") && shared()) {
		copy(shared(), argument);
		answer("ok");
	} else if (same(command, "shared") && shared()) {
		answer(shared());
	} else if (same(command, "off")) {
		answer("ok");
		/* The keyboard controller resets the machine. */
		out8(0x64, 0xfe);
	} else {
		answer("no such command");
	}
}

/* Let machine checks come to machine_check. They are vector 18. */
static void take_machine_checks(void)
{
	/* Segments with all of memory: code is 8, data is 16. */
	static const uint64_t segments[] = {0, 0x00cf9a000000ffff, 0x00cf92000000ffff};
	static uint64_t gates[19];
	struct { uint16_t limit; uint32_t base; } __attribute__((packed))
		gdt = {sizeof(segments) - 1, (uint32_t)segments}, idt = {sizeof(gates) - 1, (uint32_t)gates};
	uint32_t handler;

	asm("mov $machine_check, %0" : "=r"(handler));
	gates[18] = (uint64_t)(handler >> 16) << 48 | 0x8e0000080000 | (handler & 0xffff);
	asm volatile("lgdt %0\n"
		     "ljmp $8, $1f\n"
		     "1: mov %2, %%ds; mov %2, %%es; mov %2, %%ss\n"
		     "lidt %1\n"
		     "mov %%cr4, %%eax; or $0x40, %%eax; mov %%eax, %%cr4\n"
		     : : "m"(gdt), "m"(idt), "r"(16) : "eax", "memory");
}

/* Answer with the address in the first bank of registers that is valid, and clear it. */
__attribute__((used)) void failed(void)
{
	uint32_t banks = rdmsr(0x179) & 0xff, bank;
	uint64_t address = 0;
	int digit;

	for (bank = 0; bank < banks; bank++) {
		if (!(rdmsr(0x401 + 4 * bank) >> 63))
			continue;
		address = rdmsr(0x402 + 4 * bank);
		wrmsr(0x401 + 4 * bank, 0);
	}
	/* No machine check is in progress any more. */
	wrmsr(0x17a, 0);
	say("machine check at 0x");
	for (digit = 36; digit >= 0; digit -= 4)
		put("0123456789abcdef"[address >> digit & 15]);
	put('\n');
}

/* Obey commands. */
__attribute__((used)) void serve(void)
{
	static char line[256];

	for (;;) {
		char *at = line, *argument = line, c;

		while ((c = get()) != '\n')
			if (c != '\r' && at < line + sizeof(line) - 1)
				*at++ = c;
		*at = 0;
		while (*argument && *argument != ' ')
			argument++;
		if (*argument)
			*argument++ = 0;
		obey(line, argument);
	}
}

/* BOOT: how QEMU describes the machine */
__attribute__((used)) void run(const uint32_t *boot)
{
	/* mem_upper: memory from 1 MiB on */
	memory_kb = boot[2] + 1024;
	take_machine_checks();
	answer("ready");
	serve();
}
