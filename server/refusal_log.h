/* What the log is told, at level debug, of requests and connections that are refused: a line each, but not of a flood. */
#ifndef SSE__REFUSAL_LOG_H
#define SSE__REFUSAL_LOG_H

#include <sse/server.h>

/* One of them. Valid during the call. */
typedef struct sse__refused {
    const char *method; /* NULL: a connection, of which no request has been read */
    const char *path;   /* likewise; without the query */
    const char *stream; /* or NULL */
    const char *address;
    const char *reason; /* one line */
    unsigned status;    /* of a connection: what it gets if it is told at all */
} sse__refused;

/* For sse-server, whose log has fields: write the lines in this way instead of through the logger. Called from any thread, several
 * at once, never under a lock.
 * Thread:  any, before the first listener. */
void sse__server_tell_refused(sse_server *server, void (*tell)(const sse__refused *refused));

/* For the authorize callback of sse-server: why it refuses, where the log may know more than the client. A string that stays.
 * Thread:  the callback's. */
void sse__request_set_log_reason(const sse_request *request, const char *reason);

/* Is a line to be written about one more refusal? If not, it is counted, and told with others later.
 * Thread:  any, without a lock. */
bool sse__refusal_has_line(sse_server *hub);
/* Write it. */
void sse__refusal_tell(sse_server *hub, const sse__refused *refused);
/* Tell how many had no line, if it is not too soon; or anyhow.
 * Thread:  any, without a lock. */
void sse__refusals_tell_rest(sse_server *hub, bool anyhow);

#endif
