/* What the fuzz targets of the server share: a hub that lives as long as the program, and a stream of it for each input.
 *
 * Everything that must hold is checked by must(), which aborts: libFuzzer then keeps the input. */
#ifndef TEST_HUB_FIXTURE_H
#define TEST_HUB_FIXTURE_H

#include "hub.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define must(condition) hub_must((condition), #condition, __FILE__, __LINE__)
void hub_must(bool condition, const char *text, const char *file, int line);

/* A hub without listeners; events may have so many bytes. */
sse_server *hub_new(uint64_t max_event_bytes);

/* A new stream, referenced. hub_end() removes it and waits until nothing is left of it. One at a time. */
sse__stream *hub_stream(sse_server *hub, const sse_stream_options *options);
void hub_end(sse__stream *st);

/* Do the worker's work: put everything that was accepted into the log. Returns how many that were. It is due before a stream's ring
 * is full, because nobody else makes room. */
uint64_t hub_settle(sse__stream *st);

/* Takes bytes off an input, piece by piece. */
typedef struct hub_input {
    const uint8_t *at;
    size_t left;
} hub_input;
uint8_t hub_take_byte(hub_input *in); /* 0 at the end */
/* A byte says how many bytes, at most `most`, of it there are; they stay in the input. */
sse_str hub_take_string(hub_input *in, size_t most);

#endif
