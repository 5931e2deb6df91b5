/* Linked into every test program that ThreadSanitizer instruments, and into no other.
 *
 * Criterion's sandbox maps the memory that it shares with a test's process at a random address
 * between 0x200000000000 and 0x5fffff000000, in units of 16 MiB, and gives up when the kernel
 * refuses. ThreadSanitizer refuses nearly all of that range, which belongs to its shadow or to
 * nothing. The address comes from rand_r(): this one points above the program, where
 * ThreadSanitizer expects an application's memory. Nothing in this project uses rand_r(). */
#include <stdlib.h>

enum { FIRST_UNIT = 0x360000 /* 0x560000000000 */, UNITS_MASK = 0xfff /* 64 GiB */ };

int rand_r(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    return (int)(FIRST_UNIT + ((*seed >> 16) & UNITS_MASK));
}
