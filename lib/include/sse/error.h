/* Error codes of the whole library. */
#ifndef SSE_ERROR_H
#define SSE_ERROR_H

#include <sse/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, text): one line an error; the order is part of the ABI, so append only. */
#define SSE_ERR_MAP(X)                                                                             \
    X(OK, "success")                                                                               \
    X(EINVAL, "invalid argument")                                                                  \
    X(ENOMEM, "out of memory")                                                                     \
    X(ENOSTREAM, "no such stream")                                                                 \
    X(ECLOSED, "closed")                                                                           \
    X(EFULL, "queue full")                                                                         \
    X(EEMPTY, "queue empty")                                                                       \
    X(ETIMEOUT, "timed out")                                                                       \
    X(ETOOBIG, "event larger than the limit")                                                      \
    X(ELIMIT, "limit reached")                                                                     \
    X(ECANCELED, "canceled")                                                                       \
    X(ESYS, "system call failed")                                                                  \
    X(EADDR, "address in use, or not to be had")                                                   \
    X(ERESOLVE, "host name does not resolve")                                                      \
    X(ECONNECT, "could not connect")                                                               \
    X(ETLS, "TLS handshake or verification failed")                                                \
    X(ENETWORK, "connection broke")                                                                \
    X(EEOF, "the server ended the stream")                                                         \
    X(EHTTP, "unexpected HTTP status")                                                             \
    X(ECONTENT, "not an event stream")                                                             \
    X(EREDIRECT, "bad redirect")                                                                   \
    X(EIDLE, "nothing received within the idle timeout")                                           \
    X(EREJECTED, "response refused by the validator")                                              \
    X(EBASE64, "data is not base64")                                                               \
    X(ESTOPPED, "the server said stop (204)")                                                      \
    X(EGAVEUP, "gave up after the last attempt")                                                   \
    X(ECERT, "certificate or key cannot be used")

/* What a function that can fail returns. */
typedef enum sse_err {
#define SSE_ERR_ENUM(name, text) SSE_##name,
    SSE_ERR_MAP(SSE_ERR_ENUM)
#undef SSE_ERR_ENUM
        SSE_ERR_COUNT /* not an error: how many there are */
} sse_err;

/* The text of an error, without a full stop.
 * Thread:  any.
 * Owns:    a static string; "unknown error" for a code that does not exist. Never NULL. */
SSE_API const char *sse_strerror(sse_err err);

/* The name of an error, such as "SSE_EINVAL". The same statements hold as for sse_strerror(). */
SSE_API const char *sse_errname(sse_err err);

#ifdef __cplusplus
}
#endif
#endif
