/* Texts of the error codes, from the one map in sse/error.h. */
#include <sse/error.h>
#include <sse/version.h>

const char *sse_strerror(sse_err err)
{
    switch (err) {
#define SSE_ERR_CASE(name, text)                                                                   \
    case SSE_##name:                                                                               \
        return text;
        SSE_ERR_MAP(SSE_ERR_CASE)
#undef SSE_ERR_CASE
    case SSE_ERR_COUNT:
        break;
    }
    return "unknown error";
}

const char *sse_errname(sse_err err)
{
    switch (err) {
#define SSE_ERR_CASE(name, text)                                                                   \
    case SSE_##name:                                                                               \
        return "SSE_" #name;
        SSE_ERR_MAP(SSE_ERR_CASE)
#undef SSE_ERR_CASE
    case SSE_ERR_COUNT:
        break;
    }
    return "SSE_E?";
}

const char *sse_version(void) { return SSE_VERSION; }
