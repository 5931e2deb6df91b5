/* What sse-server changes in its server when it reloads: in one step, because half a reload would be worse than none. */
#ifndef SSE_RELOAD_H
#define SSE_RELOAD_H

#include <sse/server.h>

/* Read the certificate again, if there is one, and let these origins in: sse_server_tls_reload() and sse_server_set_cors_origins().
 * Thread:  any. Reads files.
 * Returns: SSE_OK, SSE_EINVAL (an origin), SSE_ECERT, SSE_ENOMEM.
 * Partial: on an error both stay as they were. */
SSE_NODISCARD sse_err sse__server_reload(sse_server *server, const char *const *origins, size_t n);

#endif
