/* Deadlines in the order in which they come. A list, since what is added last is due last. No threads of its own. */
#include "due.h"

void sse__due_add(sse__due_list *list, sse__due *due, uint64_t at_ms)
{
    *due = (sse__due){.prev = list->last, .at_ms = at_ms};
    if (due->prev)
        due->prev->next = due;
    else
        list->first = due;
    list->last = due;
}

void sse__due_remove(sse__due_list *list, sse__due *due)
{
    if (due->prev)
        due->prev->next = due->next;
    else
        list->first = due->next;
    if (due->next)
        due->next->prev = due->prev;
    else
        list->last = due->prev;
}

sse__due *sse__due_first(const sse__due_list *list, uint64_t now_ms)
{
    return list->first && list->first->at_ms <= now_ms ? list->first : NULL;
}
