/* What a server says with a refusal, in one line for people. */
#ifndef SSE__SENTENCE_H
#define SSE__SENTENCE_H

#include <sse/event.h>

#define SSE__SENTENCE_CHARS 200u
/* Room for that many characters of up to four bytes, and the NUL. */
#define SSE__SENTENCE_SIZE (4 * SSE__SENTENCE_CHARS + 1)

/* Write the first line of a body to out (SSE__SENTENCE_SIZE bytes), or all lines of JSON as one:
 * services print it over several. No more than SSE__SENTENCE_CHARS characters; one that is cut ends
 * in "...". Control characters, and what is no UTF-8, become '?'. "" when there is nothing.
 * Thread:  any. */
void sse__sentence(sse_str body, char *out);

#endif
