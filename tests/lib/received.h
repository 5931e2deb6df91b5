/* What a conforming reader makes of an event that was encoded. */
#ifndef TEST_RECEIVED_H
#define TEST_RECEIVED_H

#include <sse/event.h>

/* Memory for the texts of one expected event. */
struct received {
    char *texts[4];
};

/* The event as a parser with raw_blocks reports it: CR and CRLF have become LF, what is not UTF-8
 * U+FFFD, an empty type is gone, and an event with nothing in it is an empty comment. */
sse_event received_event(struct received *r, const sse_event *sent);
void received_free(struct received *r);

/* The same parts, present or absent, with the same bytes. */
bool received_equal(const sse_event *a, const sse_event *b);

#endif
