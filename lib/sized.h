/* Structs of options and of callbacks begin with their size, so that fields can be appended: a program that was built with an older header
 * hands over a shorter struct, whose missing end is all defaults; of one that is longer than ours, the end is not known here. For the same
 * reason none lies within another, where it would have no room: they point to each other. docs/api.md says which structs grow, and how. No
 * threads. */
#ifndef SSE_SIZED_H
#define SSE_SIZED_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Copy what the user's struct has over *to, which holds the defaults. False: it says that it has not even a size. */
static inline bool sse__copy_sized(void *to, size_t to_size, const void *from)
{
    size_t size;
    memcpy(&size, from, sizeof size);
    if (size < sizeof size)
        return false;
    memcpy(to, from, size < to_size ? size : to_size);
    memcpy(to, &to_size, sizeof to_size);
    return true;
}

#endif
