/* Deadlines in the order in which they come: things that all have the same time, from when they are put here. */
#ifndef SSE__DUE_H
#define SSE__DUE_H

#include <stddef.h>
#include <stdint.h>

/* Part of what has a deadline. */
typedef struct sse__due {
    struct sse__due *prev, *next;
    uint64_t at_ms;
} sse__due;

typedef struct sse__due_list {
    sse__due *first, *last;
} sse__due_list;

/* What this is the member `due` of. */
#define SSE__WITH_DUE(type, pointer) ((type *)(void *)((char *)(pointer)-offsetof(type, due)))

/* Put it at the end: at_ms is not before what is in the list. */
void sse__due_add(sse__due_list *list, sse__due *due, uint64_t at_ms);
void sse__due_remove(sse__due_list *list, sse__due *due);
/* The first one, if its time has come; NULL: nobody's has. It stays in the list. */
sse__due *sse__due_first(const sse__due_list *list, uint64_t now_ms);

#endif
