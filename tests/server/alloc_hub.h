/* What the tests with allocations that fail share: a hub that has everything that wants memory, one at a time. */
#ifndef TEST_ALLOC_HUB_H
#define TEST_ALLOC_HUB_H

#include "fixture.h"

enum { MOST = 500 }; /* allocations until a step is done */

extern sse_server *server;
extern uint16_t port;

/* With the streams "s", of these options (may be NULL), and "t". A request_timeout_ms makes the hub look at the clock often; 0 =
 * default. */
void start(const sse_stream_options *stream, uint32_t request_timeout_ms);
/* Everything works: with a new stream, an old one, a subscriber that comes now. */
void check_usable(void);

#endif
