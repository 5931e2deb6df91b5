/* Writes down, in order, what a subscription calls back: one line each.
 *
 *   open STATUS | event ID|TYPE|DATA | comment TEXT | error SSE_X [final] [lost] | retry | close
 * SSE_X */
#ifndef TEST_RECORDER_H
#define TEST_RECORDER_H

#include <sse/client.h>

typedef struct recorder recorder;

recorder *recorder_new(void);
/* The subscriptions that use it have ended. */
void recorder_free(recorder *r);

/* All callbacks; the subscription's user pointer is the recorder. */
sse_client_callbacks recorder_callbacks(void);

/* Called at the end of each callback, on the subscription's thread, with the line. Set it before
 * the start. */
void recorder_on_line(recorder *r, void (*fn)(void *user, sse_subscription *sub, const char *line),
                      void *user);

/* Wait until some line starts with this text, or is the n-th that does (from 1). False after the
 * deadline. */
bool recorder_wait(recorder *r, const char *text);
bool recorder_wait_nth(recorder *r, const char *text, size_t n);

/* All lines so far, each with a line end. Valid until the next call. */
const char *recorder_lines(recorder *r);
/* How many lines start with this text; how many there are. */
size_t recorder_count(recorder *r, const char *text);
size_t recorder_total(recorder *r);

/* The i-th delay that on_retry was told; UINT64_MAX: there was none. */
uint64_t recorder_delay(recorder *r, size_t i);

/* What on_error or on_close was told last, strings copied. */
typedef struct recorded_error {
    sse_client_error e;
    char message[512];
    char content_type[128];
    char url[512];
    char body[4200];
    size_t body_len;
    bool body_ends; /* in a NUL */
} recorded_error;
recorded_error recorder_last_error(recorder *r);

/* A client and one background subscription of it with this recorder. Aborts when that fails. */
sse_subscription *recorder_subscribe(recorder *r, sse_client *client, const char *stream);
sse_client *client_for(const char *url, const sse_client_options *options);

#endif
