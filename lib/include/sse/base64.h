/* Base64 (RFC 4648, section 4, with padding). */
#ifndef SSE_BASE64_H
#define SSE_BASE64_H

#include <sse/error.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes that encoding n bytes takes, and at most that decoding n characters gives. */
SSE_API size_t sse_base64_encoded_size(size_t n);
SSE_API size_t sse_base64_decoded_size(size_t n);

/* Encode n bytes into out, which holds sse_base64_encoded_size(n); no NUL is written.
 * Thread:  any. */
SSE_API void sse_base64_encode(const void *in, size_t n, char *out);

/* Decode n characters into out, which holds sse_base64_decoded_size(n) and may be `in` itself. LF
 * and CR between the characters are skipped; the unused bits of the last character do not matter.
 * Thread:  any.
 * Returns: SSE_OK and *len; SSE_EBASE64: another character, or wrong padding. */
SSE_API SSE_NODISCARD sse_err sse_base64_decode(const char *in, size_t n, void *out, size_t *len);

#ifdef __cplusplus
}
#endif
#endif
