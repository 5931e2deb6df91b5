/* The only file that knows libmicrohttpd.
 *
 * Daemons run without a socket and a thread of their own, driven by an I/O loop; connections come
 * by MHD_add_connection(). The connection's socket context is our sse__conn, the request's context
 * our exchange (http.c). */
#include "mhd.h"

#include "http.h"
#include "hub.h"
#include "loop_internal.h"
#include "subscriber.h"
#include "tls.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <strings.h>

_Static_assert(SSE__READ_END == MHD_CONTENT_READER_END_OF_STREAM, "values differ");

/* Per chunk of an unchunked (HTTP/1.0) stream; the chunked ones use what the connection's memory
 * holds. */
#define BLOCK_BYTES 256

/* ---- daemons ---- */

/* Callbacks of this thread that libmicrohttpd has called. */
static _Thread_local uint64_t calls;

/* Give a TLS session its certificate. Without one, or without memory, the handshake fails. */
static void prepare_tls(sse__shard *shard, struct MHD_Connection *connection, sse__conn *conn)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    int on = 1; /* else the answer waits until the client has acknowledged the session tickets */
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    conn->identity = sse__hub_identity(shard->hub);
    if (!info || !conn->identity || !sse__tls_prepare(info->tls_session, conn->identity))
        shutdown(conn->fd, SHUT_RDWR);
}

/* Without memory for it nobody would end it in time, so it ends now. */
static sse__conn *begin_conn(sse__shard *shard, struct MHD_Connection *connection)
{
    sse__conn *conn = sse__conn_new(shard, sse__mhd_fd(connection));
    if (!conn)
        shutdown(sse__mhd_fd(connection), SHUT_RDWR);
    else if (shard->tls)
        prepare_tls(shard, connection, conn);
    return conn;
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    sse__shard *shard = cls;
    calls++;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        atomic_fetch_add(&shard->hub->counters.connections, 1);
        shard->connections++;
        *context = begin_conn(shard, connection);
        return;
    }
    shard->connections--;
    if (*context) {
        sse__discard_rest(*context);
        sse__conn_free(*context);
    }
    *context = NULL;
    atomic_fetch_sub(&shard->hub->counters.connections, 1);
}

static sse__conn *conn_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static bool knows_chunks(const char *version) { return strcmp(version, "HTTP/1.0") != 0; }

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **context)
{
    calls++;
    sse__shard *shard = cls;
    sse__conn *conn = conn_of(connection);
    if (!conn)
        return MHD_NO; /* no memory for it */
    sse__http_call call = {.hub = shard->hub,
                           .loop = shard->loop,
                           .shard = shard,
                           .conn = conn,
                           .connection = connection,
                           .url = url,
                           .method = method,
                           .chunks = knows_chunks(version),
                           .upload = upload,
                           .upload_size = upload_size,
                           .exchange = (struct sse__exchange **)context};
    return sse__http_handle(&call) ? MHD_YES : MHD_NO;
}

/* Has the peer ended the request or the connection, or has the answer to the whole request broken off? */
static bool is_over(const sse__conn *conn, enum MHD_RequestTerminationCode code)
{
    return code == MHD_REQUEST_TERMINATED_CLIENT_ABORT ||
           code == MHD_REQUEST_TERMINATED_READ_ERROR ||
           (code == MHD_REQUEST_TERMINATED_WITH_ERROR && conn->request_read);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    (void)cls;
    sse__conn *conn = conn_of(connection);
    sse__http_completed((struct sse__exchange **)context);
    if (!conn)
        return;
    conn->over = conn->over || is_over(conn, code);
    if (conn->persists) /* the library may refuse the next one before it tells us of it */
        conn->request_read = false;
    sse__conn_expect(conn); /* the next request on this connection */
}

struct MHD_Daemon *sse__mhd_start(sse__shard *shard, const sse_server *hub)
{
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)sse__tls_priorities},
        {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, sse__tls_no_certificate()},
        {MHD_OPTION_END, 0, NULL}};
    if (shard->tls) {
        flags |= MHD_USE_TLS;
    } else {
        /* A new socket is read before it is watched, so a subscriber's never is; and close() alone ends a connection. Not with TLS,
         * which would not say goodbye. */
        flags |= MHD_USE_TURBO;
        tls[0].option = MHD_OPTION_END;
    }
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, shard, MHD_OPTION_NOTIFY_CONNECTION, on_connection, shard,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)INT32_MAX, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)hub->options.connection_memory, MHD_OPTION_CONNECTION_MEMORY_INCREMENT,
        (size_t)1024, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
}

void sse__mhd_stop(struct MHD_Daemon *daemon) { MHD_stop_daemon(daemon); }

int sse__mhd_epoll_fd(struct MHD_Daemon *daemon)
{
    return MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

/* In the middle of a handshake the library (0.9.75, epoll) takes a connection for ready whose peer has sent nothing: a loop that
 * believed it would spin until the peer goes on. What moves no byte and calls no callback waits for its socket, but a whole record
 * (16 KiB) may be taken from the session's buffer in steps of the pool's increment first, without either. */
#define IDLE_TURNS 16

static bool makes_progress(sse__shard *shard, uint64_t before)
{
    if (calls + sse__tls_moved() != before)
        shard->idle_turns = 0;
    else if (shard->idle_turns < IDLE_TURNS)
        shard->idle_turns++;
    return shard->idle_turns < IDLE_TURNS;
}

static bool run_once(struct MHD_Daemon *daemon)
{
    unsigned MHD_LONG_LONG timeout_ms;
    MHD_run(daemon);
    return MHD_get_timeout(daemon, &timeout_ms) == MHD_YES && timeout_ms == 0;
}

/* One run calls the callbacks, the next one sends: a request is answered by the first alone, an event takes both. */
bool sse__mhd_run(sse__shard *shard)
{
    uint64_t before = calls + sse__tls_moved();
    if (!run_once(shard->daemon) || !run_once(shard->daemon))
        return false;
    return !shard->tls || makes_progress(shard, before);
}

bool sse__mhd_add(struct MHD_Daemon *daemon, int fd, const struct sockaddr *address, socklen_t len)
{
    return MHD_add_connection(daemon, fd, address, len) == MHD_YES;
}

/* ---- connections ---- */

void sse__mhd_suspend(struct MHD_Connection *connection) { MHD_suspend_connection(connection); }

void sse__mhd_resume(struct MHD_Connection *connection) { MHD_resume_connection(connection); }

int sse__mhd_fd(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

static const struct sockaddr *address_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return info ? info->client_addr : NULL;
}

bool sse__mhd_is_loopback(struct MHD_Connection *connection)
{
    return sse__address_is_loopback(address_of(connection));
}

void sse__mhd_address(struct MHD_Connection *connection, char out[SSE__ADDRESS_MAX])
{
    sse__address_format(address_of(connection), out);
}

const char *sse__mhd_header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

/* Where a header of this name belongs, or NULL. */
static const char **field_of(sse__fields *fields, const char *key, size_t len)
{
    switch (len) {
    case 4:
        return strcasecmp(key, "Host") == 0 ? &fields->host : NULL;
    case 6:
        return strcasecmp(key, "Origin") == 0   ? &fields->origin
               : strcasecmp(key, "Expect") == 0 ? &fields->expect
                                                : NULL;
    case 10:
        return strcasecmp(key, "Connection") == 0 ? &fields->connection : NULL;
    case 12:
        return strcasecmp(key, "Content-Type") == 0 ? &fields->content_type : NULL;
    case 14:
        return strcasecmp(key, "Content-Length") == 0 ? &fields->content_length : NULL;
    default:
        return NULL;
    }
}

static enum MHD_Result collect_field(void *cls, enum MHD_ValueKind kind, const char *key,
                                     size_t key_len, const char *value, size_t value_len)
{
    (void)kind, (void)value_len;
    sse__fields *fields = cls;
    const char **field = field_of(fields, key, key_len);
    fields->content_lengths += field == &fields->content_length;
    if (field && !*field)
        *field = value ? value : "";
    return MHD_YES;
}

void sse__mhd_fields(struct MHD_Connection *connection, sse__fields *out)
{
    *out = (sse__fields){0};
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, collect_field, out);
}

typedef struct collection {
    const char *name;
    sse_str *values;
    size_t max;
    size_t n;
} collection;

static enum MHD_Result collect(void *cls, enum MHD_ValueKind kind, const char *key, size_t key_len,
                               const char *value, size_t value_len)
{
    (void)kind, (void)key_len;
    collection *c = cls;
    if (strcmp(key, c->name) != 0)
        return MHD_YES;
    if (c->n < c->max)
        c->values[c->n] = (sse_str){value ? value : "", value_len};
    c->n++;
    return MHD_YES;
}

size_t sse__mhd_query_all(struct MHD_Connection *connection, const char *name, sse_str *values,
                          size_t max)
{
    collection c = {name, values, max, 0};
    MHD_get_connection_values_n(connection, MHD_GET_ARGUMENT_KIND, collect, &c);
    return c.n;
}

typedef struct argument_list {
    sse__argument *wanted;
    size_t n;
} argument_list;

static enum MHD_Result collect_argument(void *cls, enum MHD_ValueKind kind, const char *key,
                                        size_t key_len, const char *value, size_t value_len)
{
    (void)kind, (void)key_len;
    const argument_list *list = cls;
    for (size_t i = 0; i < list->n; i++)
        if (!list->wanted[i].value.ptr && strcmp(key, list->wanted[i].name) == 0)
            list->wanted[i].value = (sse_str){value ? value : "", value_len};
    return MHD_YES;
}

void sse__mhd_arguments(struct MHD_Connection *connection, sse__argument *wanted, size_t n)
{
    argument_list list = {wanted, n};
    for (size_t i = 0; i < n; i++)
        wanted[i].value = (sse_str){0};
    MHD_get_connection_values_n(connection, MHD_GET_ARGUMENT_KIND, collect_argument, &list);
}

/* Not MHD_lookup_connection_value_n(), to which "STREAM" is "stream": what is checked must be what is used. */
sse_str sse__mhd_query(struct MHD_Connection *connection, const char *name)
{
    sse_str value = {0};
    (void)sse__mhd_query_all(connection, name, &value, 1);
    return value;
}

/* ---- responses ---- */

/* Queue and give away. */
static bool queue(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response,
                  const sse__header *headers, size_t n)
{
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++)
        if (headers[i].value)
            ok = MHD_add_response_header(response, headers[i].name, headers[i].value) == MHD_YES;
    ok = ok && MHD_queue_response(connection, status, response) == MHD_YES;
    MHD_destroy_response(response);
    return ok;
}

bool sse__mhd_reply(struct MHD_Connection *connection, unsigned status, sse_str body,
                    const sse__header *headers, size_t header_count)
{
    /* The library copies the body; it does not write to the pointer that it wants non-const. */
    struct MHD_Response *response = MHD_create_response_from_buffer(
        body.len, (void *)(uintptr_t)body.ptr, MHD_RESPMEM_MUST_COPY);
    return response && queue(connection, status, response, headers, header_count);
}

static void send_now(struct MHD_Connection *connection, const char *bytes, size_t n)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (info && info->tls_session)
        sse__tls_send(info->tls_session, bytes, n);
    else
        (void)!send(sse__mhd_fd(connection), bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void sse__mhd_reply_unread(struct MHD_Connection *connection, unsigned status, sse_str body,
                           bool no_body, const sse__header *headers, size_t n)
{
    sse__text text = {0};
    sse__text_addf(&text, "HTTP/1.1 %u %s\r\nConnection: close\r\nContent-Length: %zu\r\n", status,
                   MHD_get_reason_phrase_for(status), body.len);
    for (size_t i = 0; i < n; i++)
        if (headers[i].value)
            sse__text_addf(&text, "%s: %s\r\n", headers[i].name, headers[i].value);
    sse__text_add(&text, "\r\n");
    if (!no_body)
        sse__text_add_bytes(&text, body.ptr, body.len);
    if (!text.failed)
        send_now(connection, text.ptr, text.len);
    sse__text_fini(&text);
}

/* After the end of a body without chunks, which is that of its connection, or after an error, the library (0.9.75, epoll) closes the
 * connection, but takes it off its list of ready ones before it is cleaned up: unless its socket reports something more, it stays
 * with its descriptor until the daemon stops. But not one with a timeout of its own: at these it looks in each of its turns. So it
 * gets one. */
static void end_with_connection(const struct sse__sub *sub)
{
    (void)MHD_set_connection_option(sub->connection, MHD_CONNECTION_OPTION_TIMEOUT, 1u);
    if (sub->shard)
        sse__loop_activate(sub->shard);
}

/* A subscriber that was cut off. The turns of a user's daemon may be long in coming; but there its socket is shut down already, so
 * that the ordinary end of the body cannot be sent: the client sees the same, and the library cleans up at once. */
static ssize_t abandon(const struct sse__sub *sub)
{
    if (!sub->shard)
        return MHD_CONTENT_READER_END_OF_STREAM;
    end_with_connection(sub);
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

static ssize_t read_sub(void *cls, uint64_t pos, char *buf, size_t max)
{
    (void)pos;
    calls++;
    ptrdiff_t n = cls ? sse__sub_read(cls, buf, max) : SSE__READ_END;
    return n == SSE__READ_ERROR ? abandon(cls) : n;
}

static ssize_t read_unchunked_sub(void *cls, uint64_t pos, char *buf, size_t max)
{
    ssize_t n = read_sub(cls, pos, buf, max);
    if (n == MHD_CONTENT_READER_END_OF_STREAM && cls)
        end_with_connection(cls);
    return n;
}

static void finish_sub(void *cls)
{
    if (cls)
        sse__sub_finish(cls);
}

bool sse__mhd_stream(struct MHD_Connection *connection, struct sse__sub *sub, bool chunks,
                     const sse__header *headers, size_t header_count)
{
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, BLOCK_BYTES, chunks ? read_sub : read_unchunked_sub, sub, finish_sub);
    if (!response) {
        finish_sub(sub);
        return false;
    }
    return queue(connection, 200, response, headers, header_count);
}

/* ---- the user's own daemon ---- */

int sse_server_handle(sse_server *server, struct MHD_Connection *connection, const char *url,
                      const char *method, const char *version, const char *upload_data,
                      size_t *upload_data_size, void **con_cls)
{
    sse__http_call call = {.hub = server,
                           .loop = server->keeper,
                           .connection = connection,
                           .url = url,
                           .method = method,
                           .chunks = knows_chunks(version),
                           .upload = upload_data,
                           .upload_size = upload_data_size,
                           .exchange = (struct sse__exchange **)con_cls};
    return sse__http_handle(&call) ? MHD_YES : MHD_NO;
}

void sse_server_completed(void *server, struct MHD_Connection *connection, void **con_cls, int toe)
{
    (void)server;
    (void)connection;
    (void)toe;
    sse__http_completed((struct sse__exchange **)con_cls);
}
