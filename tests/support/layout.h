/* What a struct that begins with its size must look like. */
#ifndef TEST_LAYOUT_H
#define TEST_LAYOUT_H

#include <stddef.h>

/* Nothing lies behind its last field: a gap there has bytes that nobody has set, and a field that is
 * added one day may come to lie in it, within the size that an older program says. */
#define HAS_NO_GAP_BEHIND(type, last)                                                              \
    _Static_assert(sizeof(void *) != 8 ||                                                          \
                       sizeof(type) == offsetof(type, last) + sizeof(((type *)0)->last),           \
                   "there is a gap at the end of " #type)

#endif
