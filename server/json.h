/* A growing text, and JSON in it (RFC 8259). */
#ifndef SSE__JSON_H
#define SSE__JSON_H

#include <sse/export.h>
#include <stdbool.h>
#include <stddef.h>

/* Zero-initialise; when memory runs out it stays as it is and `failed` is set. */
typedef struct sse__text {
    char *ptr; /* NUL-terminated once something was added */
    size_t len;
    size_t allocated;
    bool failed;
} sse__text;

void sse__text_fini(sse__text *text);
void sse__text_add(sse__text *text, const char *string);
void sse__text_add_bytes(sse__text *text, const char *bytes, size_t n);
void sse__text_addf(sse__text *text, const char *format, ...) SSE_PRINTF(2, 3);
/* A JSON string with its quotes. Invalid UTF-8 becomes U+FFFD. */
void sse__text_json(sse__text *text, const char *bytes, size_t n);

#endif
