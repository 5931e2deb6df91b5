/* What a stream means, by the plainest reading of the standard: the whole input at once, a copy of everything, no limit. What the
 * parser calls is compared with it. */
#ifndef TEST_REFERENCE_H
#define TEST_REFERENCE_H

#include "trace.h"

/* Call what a parser without a limit should call (t->raw says which kind). Returns true when the input ends inside a block. */
bool reference_run(struct trace *t, sse_str input);

#endif
