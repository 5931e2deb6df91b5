/* The page: files that are part of the program. */
#ifndef SSE__PAGE_H
#define SSE__PAGE_H

#include "http.h"

/* A file, as the build has embedded it: page_files.c, made of page/ by cmake/sse_embed.cmake. */
typedef struct sse__page_file {
    const char *name;
    const unsigned char *bytes;
    size_t len;
} sse__page_file;

extern const sse__page_file sse__page_files[]; /* ended by a name of NULL */

/* Is there a file of the page at this path?
 * Thread:  any. */
bool sse__page_has(const char *url);
/* Answer with it; there is one. */
void sse__http_page(const char *url, sse__answer *answer);

#endif
