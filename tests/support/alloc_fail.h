/* Makes allocations fail, and counts them. For programs that are linked with alloc_fail.c and with
 * -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup: it sees the calls of everything
 * that is linked statically into the program, not those of shared libraries.
 *
 * Thread: any; arm and read from one thread at a time. */
#ifndef TEST_ALLOC_FAIL_H
#define TEST_ALLOC_FAIL_H

#include <stdbool.h>
#include <stddef.h>

/* Let allocation number `index` from now on fail, counted from 0, and no other. */
void alloc_fail_at(size_t index);
/* The same, but all after it fail too. */
void alloc_fail_from(size_t index);
/* No allocation fails any more. Returns whether one has failed since it was armed. */
bool alloc_fail_disarm(void);

/* Leave the allocations of the calling thread alone from now on, or no longer: they neither fail nor
 * count as one of those that are numbered. */
void alloc_spare_thread(bool spare);
bool alloc_thread_is_spared(void);

/* Begin to count: allocations made, bytes in use beyond what was in use now, and their peak. */
void alloc_count_reset(void);
size_t alloc_count(void);
size_t alloc_peak_bytes(void);

#endif
