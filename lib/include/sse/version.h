/* Version of the library. */
#ifndef SSE_VERSION_H
#define SSE_VERSION_H

#include <sse/export.h>

/* The version of these headers, in parts: incompatible changes, */
#define SSE_VERSION_MAJOR 0
/* additions (before 1.0.0 incompatible changes, too), */
#define SSE_VERSION_MINOR 1
/* and corrections. */
#define SSE_VERSION_PATCH 0
/* The version of these headers, as a string. */
#define SSE_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif
/* The version of the library that is linked, as SSE_VERSION was when it was built. */
SSE_API const char *sse_version(void);
#ifdef __cplusplus
}
#endif
#endif
