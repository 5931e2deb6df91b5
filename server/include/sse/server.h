/* The server: a hub of streams, their subscribers over HTTP, and what is published to them.
 *
 * A hub works inside your program: publish from any thread with sse_server_publish(), let clients
 * in through a listener of its own (sse_server_listen()) or through your libmicrohttpd daemon
 * (sse_server_handle()), or both. WHATWG HTML, "Server-sent events"; RFC 9110 and RFC 9112 for
 * HTTP. */
#ifndef SSE_SERVER_H
#define SSE_SERVER_H

#include <sse/event.h>
#include <sse/log.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A hub. */
typedef struct sse_server sse_server;
struct MHD_Connection;

/* What a new subscriber gets from the history. With a Last-Event-ID, SSE_REPLAY_ALL and
 * SSE_REPLAY_RESUME both send what came after that event. In every mode a subscriber whose
 * Last-Event-ID cannot be resumed from is told by an event of type "gap". */
typedef enum sse_replay {
    SSE_REPLAY_DEFAULT = 0, /* all */
    SSE_REPLAY_ALL,         /* everything that is held */
    SSE_REPLAY_RESUME,      /* only what came after the Last-Event-ID; nothing without one */
    SSE_REPLAY_NONE         /* nothing */
} sse_replay;

/* What happens to a subscriber that the stream has overtaken: the events kept for it have reached
 * the limit, its socket takes nothing, and it has had its grace (slow_grace_ms). Except under
 * SSE_SLOW_BLOCK nobody else waits for it beyond that grace. */
typedef enum sse_slow_policy {
    SSE_SLOW_DEFAULT = 0, /* close */
    SSE_SLOW_CLOSE,       /* end its connection; it can come back with its Last-Event-ID */
    SSE_SLOW_DROP_OLDEST, /* lose the oldest events that wait for it; a "gap" event tells it how
                             many */
    SSE_SLOW_DROP_NEWEST, /* keep what waits for it, lose new ones until it has caught up; a "gap"
                             event tells */
    SSE_SLOW_BLOCK /* the stream waits: publishers block (or are refused) until it has read or left
                    */
} sse_slow_policy;

/* Why a subscriber left. */
typedef enum sse_leave_reason {
    SSE_LEFT_GONE = 1, /* the client closed its connection, or its network has gone */
    SSE_LEFT_SLOW,     /* SSE_SLOW_CLOSE */
    SSE_LEFT_REMOVED,  /* the stream was removed */
    SSE_LEFT_DRAINED,  /* the server was closed */
    SSE_LEFT_ERROR,    /* no memory, or the connection broke on our side */
    SSE_LEFT_EXPIRED   /* its permission has ended: sse_request_set_expiry() */
} sse_leave_reason;

/* "gone", "slow", "removed", "drained", "error", "expired". */
SSE_API const char *sse_leave_reason_name(sse_leave_reason reason);

/* What a request wants; for the authorize callback. */
typedef enum sse_action {
    SSE_ACTION_SUBSCRIBE = 1,
    SSE_ACTION_PUBLISH,
    SSE_ACTION_REMOVE, /* remove a stream */
    SSE_ACTION_INSPECT /* list of streams, metrics */
} sse_action;

/* A request, as the authorize callback sees it. Valid during the callback; so are the strings. */
typedef struct sse_request sse_request;
/* What the request wants. */
SSE_API sse_action sse_request_action(const sse_request *request);
/* Its method and its path. */
SSE_API const char *sse_request_method(const sse_request *request);
SSE_API const char *sse_request_path(const sse_request *request);
/* The stream asked for, or NULL (SSE_ACTION_INSPECT). */
SSE_API const char *sse_request_stream(const sse_request *request);
/* The client's address without a port, "unix" for a unix socket. */
SSE_API const char *sse_request_address(const sse_request *request);
/* A header or a query argument (decoded), or NULL. */
SSE_API const char *sse_request_header(const sse_request *request, const char *name);
SSE_API const char *sse_request_query(const sse_request *request, const char *name);

/* For the authorize callback. The permission that it gives ends at this time, in seconds since 1970
 * (UTC): a subscriber is then told by a comment, and its connection ends. Without a call it has no
 * end. */
SSE_API void sse_request_set_expiry(const sse_request *request, int64_t unix_s);
/* Likewise: why it refuses, as a sentence for the body of the answer, and with a 401 for the
 * error_description of RFC 6750. Copied, cut at 120 bytes; quotes and what is not printable ASCII
 * become '?'. */
SSE_API void sse_request_set_reason(const sse_request *request, const char *reason);

/* Who came or left, for the callbacks. */
typedef struct sse_subscriber_info {
    uint64_t number;           /* unique in this server */
    const char *stream;        /* valid during the callback */
    const char *address;       /* valid during the callback */
    const char *last_event_id; /* as sent by the client, "" for none; valid during the callback */
} sse_subscriber_info;

/* All are optional. Called without any lock held, from I/O threads of the server or the thread of
 * the user's daemon. They should be quick: others are served by the same thread. They may call any
 * sse_server function but sse_server_stop() and sse_server_free(); sse_server_publish() does not
 * wait inside them, as the room may be made by the very thread that would wait: it returns
 * SSE_EFULL. */
typedef struct sse_server_callbacks {
    size_t size; /* set by SSE_SERVER_CALLBACKS_INIT */
    /* Return 0 to allow, or an HTTP status (400 to 599) to answer instead. 401 adds
     * `WWW-Authenticate: Bearer`. */
    int (*authorize)(void *user, const sse_request *request);
    /* A subscriber has come. */
    void (*on_subscribe)(void *user, const sse_subscriber_info *subscriber);
    /* Exactly once for each on_subscribe. */
    void (*on_unsubscribe)(void *user, const sse_subscriber_info *subscriber,
                           sse_leave_reason reason);
} sse_server_callbacks;
#define SSE_SERVER_CALLBACKS_INIT                                                                  \
    {                                                                                              \
        sizeof(sse_server_callbacks), NULL, NULL, NULL                                             \
    }

/* Options of a stream. Zero is the default, which for streams made with options of NULL is what the
 * server's say. */
typedef struct sse_stream_options {
    size_t size;             /* set by SSE_STREAM_OPTIONS_INIT */
    uint64_t history_bytes;  /* wire bytes kept for replay, at most 2^50; 0 = 16 MiB */
    uint32_t ring_events;    /* accepted events that may wait for the worker, and for a slow
                                subscriber; 0 = 1024 */
    uint32_t history_events; /* events kept for replay; 0 = 1024; SSE_OFF = none */
    uint32_t event_ttl_ms;   /* how long an event can be replayed; 0 = for ever */
    sse_replay replay;       /* what a new subscriber gets */
    sse_slow_policy slow;    /* what happens to a subscriber that cannot keep up */
    uint32_t slow_grace_ms;  /* how long the stream waits for a full socket at the limit; 0 = 250 */
    bool base64;             /* send data as base64 */
    bool reserved[7];
} sse_stream_options;
#define SSE_STREAM_OPTIONS_INIT                                                                    \
    {                                                                                              \
        sizeof(sse_stream_options), 0, 0, 0, 0, SSE_REPLAY_DEFAULT, SSE_SLOW_DEFAULT, 0, false,    \
        {                                                                                          \
            false                                                                                  \
        }                                                                                          \
    }

/* Options of a hub. */
typedef struct sse_server_options {
    size_t size; /* set by SSE_SERVER_OPTIONS_INIT */
    /* For streams that are made without options of their own; NULL: all defaults. Copied. */
    const sse_stream_options *stream;
    uint64_t max_event_bytes; /* id, type, data and comment of one event; 0 = 1 MiB */
    /* Comment on a connection that was idle so long; 0 = 15000; SSE_OFF = none. By these also a client whose network has gone, so
     * that no FIN or RST comes, is noticed: within three intervals, but not under three seconds. Without them only TCP's keepalive
     * notices it, after two minutes on connections of our listeners, and TCP itself while events wait for acknowledgement, after a
     * quarter of an hour. */
    uint32_t heartbeat_ms;
    uint32_t retry_ms;               /* sent to each subscriber at its start; 0 = not sent */
    uint32_t max_streams;            /* 0 = 10000 */
    uint32_t max_subscribers;        /* 0 = 100000 */
    uint32_t max_subscribers_per_ip; /* 0 = no limit */
    /* Of connections to our listeners, whatever they ask for, from one address: an IPv4 address, or the first 64 bits of an IPv6 one.
     * Beyond it a connection is refused as soon as it has come: with 429, but under TLS, to a browser's EventSource (which would not
     * come back after a status), when many are refused, and when the request's head comes in pieces, it is just closed. Counted in
     * connects_refused, and told to the logger. */
    uint32_t max_connections_per_address; /* open at the same time; 0 = no limit */
    uint32_t connects_per_minute;         /* new ones, in the long run; 0 = no limit */
    uint32_t
        connect_burst; /* new ones that may come at once, with connects_per_minute, at most 1000000; 0 = 20, or those of a
                               second if they are more */
    uint32_t threads;            /* I/O threads of sse_server_listen(); 0 = number of cores */
    uint32_t connection_memory;  /* bytes a connection of our listener may use; 0 = 8 KiB */
    uint32_t request_timeout_ms; /* for a request's headers, a body's next piece, the next request;
                                    0 = 10000 */
    uint32_t
        drain_ms; /* sse_server_stop(): time to deliver what is queued; 0 = 5000; SSE_OFF = none */
    uint32_t
        auto_stream_idle_ms; /* an automatic stream idle for so long is removed, at most a sixteenth of the time and a
                                     second later; 0 = 60000 */
    uint32_t
        metrics_streams; /* streams that /metrics has series of their own for, the first by name: each series costs the one
                                 who stores them; 0 = none */
    /* Extra response headers, "Name: value", at most 32. None that the server sets by itself, except Cache-Control and
     * X-Accel-Buffering, which they replace. Copied. */
    const char *const *headers;
    size_t header_count; /* of headers */
    /* Origins whose pages may read and publish, as browsers write them: "https://example.org", "http://localhost:3000", without a path
     * and without the scheme's own port; "*" for all. Copied. */
    const char *const *cors_origins;
    size_t cors_origin_count; /* of cors_origins */
    /* Addresses that the limits of connections from one address are not for: "192.0.2.1", "192.0.2.0/24", "2001:db8::/32", "loopback",
     * "none". 0 of them = loopback, so that a proxy on this machine is not taken for a single client, and the one who looks after the
     * server is not locked out. What these say replaces that. Unix sockets have no address, and no such limits. Copied. */
    const char *const *connect_exempt;
    size_t connect_exempt_count; /* of connect_exempt */
    /* A page of another origin can make its own name mean 127.0.0.1 (DNS rebinding), and would then be at home on a hub of this machine.
     * So a request that comes from a loopback address must name an IP address, localhost, or one of these in its Host header, or gets
     * 421; "*" for any. A proxy on this machine that passes the Host header on needs its names here. Once there is one, requests from
     * elsewhere are held to them as well. Names only, without a port. Copied. */
    const char *const *host_names;
    size_t host_name_count; /* of host_names */
    /* PEM files: the certificate with those that lead to its authority (100 KiB of a handshake at most), and its key. With them
     * sse_server_listen() serves HTTPS (TLS 1.2 and 1.3), except where the address begins with "http://". Copied; read by sse_server_new()
     * and sse_server_tls_reload(). */
    const char *tls_cert_file;
    const char *tls_key_file;              /* see tls_cert_file */
    const sse_server_callbacks *callbacks; /* NULL: none. Copied. */
    void *user;                            /* passed to the callbacks */
    /* What the library has to tell; at level debug also each request and connection that is refused, of a flood the first 100 in ten
     * seconds, and how many more. */
    sse_logger logger;
    bool auto_stream;  /* make a stream on its first subscribe or publish */
    bool http_publish; /* let clients publish and remove streams over HTTP */
    bool page;         /* serve a page at / that lists streams, watches them and publishes */
    bool reserved[5];
} sse_server_options;
#define SSE_SERVER_OPTIONS_INIT                                                                    \
    {                                                                                              \
        sizeof(sse_server_options), NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0,    \
            NULL, 0, NULL, 0, NULL, 0, NULL, NULL, NULL, NULL, {NULL, NULL, SSE_LOG_DEFAULT, 0},   \
            false, false, false,                                                                   \
        {                                                                                          \
            false                                                                                  \
        }                                                                                          \
    }

/* All defaults for options that are there already. Not in the library: only who is compiled with this header knows how large its
 * struct is. */
static inline void sse_server_options_init(sse_server_options *options)
{
    const sse_server_options defaults = SSE_SERVER_OPTIONS_INIT;
    *options = defaults;
}

/* Make a hub; starts one housekeeping thread.
 * Thread:  any.
 * Owns:    borrows options (may be NULL) and what they point to, and copies what it keeps; the
 *          caller owns *out: sse_server_free().
 * Returns: SSE_OK, SSE_EINVAL (a header or an option that makes no sense), SSE_ECERT (the
 *          certificate or its key; the logger is told why), SSE_ENOMEM, SSE_ESYS. */
SSE_API SSE_NODISCARD sse_err sse_server_new(const sse_server_options *options, sse_server **out);

/* Begin to end: new subscribers and publishers get SSE_ECLOSED (503), what was accepted is still
 * delivered, then each subscriber's connection is ended with a `retry` of its own that spreads the
 * reconnections.
 * Thread:  any, also inside callbacks. Returns at once. Idempotent. */
SSE_API void sse_server_close(sse_server *server);

/* sse_server_close(), then wait until all is delivered or drain_ms have passed, end what is left,
 * and stop all threads. No callback runs after it has returned. With a daemon of your own: call
 * this before MHD_stop_daemon(), while the daemon still runs (from another thread than the one that
 * drives it).
 * Thread:  any but the server's own: not inside callbacks. Idempotent. */
SSE_API void sse_server_stop(sse_server *server);

/* sse_server_stop() and give back everything. NULL is fine. Nobody may use the server any more. */
SSE_API void sse_server_free(sse_server *server);

/* Listen and serve with I/O threads of the server's own: the routes are /events, /streams,
 * /healthz, /metrics, and / with the option `page`. May be called several times. address: "HOST:PORT", "[IPV6]:PORT", ":PORT"
 * (all addresses), "unix:PATH". Port 0 picks a free one. With a certificate TCP addresses are served
 * over TLS; "http://" before the address makes a plain listener, "https://" says what is meant.
 * Listeners of both kinds share the streams.
 * Thread:  any.
 * Owns:    copies the address. `bound` (may be NULL) receives the real address, such as
 *          "127.0.0.1:41234" or "unix:/run/x".
 * Returns: SSE_OK, SSE_EINVAL (address; "https://" without a certificate), SSE_ERESOLVE, SSE_EADDR (in use or not ours; errno says
 *          which), SSE_ESYS, SSE_ENOMEM, SSE_ECLOSED. */
SSE_API SSE_NODISCARD sse_err sse_server_listen(sse_server *server, const char *address,
                                                char *bound, size_t bound_size);

/* The same with a stream socket that listens already, such as one from a service manager. A unix
 * socket's file is left alone when the server ends. From sse_server_close() on nothing is accepted
 * from it: who connects meanwhile waits for the next who takes the socket. With a certificate a TCP
 * socket is served over TLS.
 * Thread:  any.
 * Owns:    takes fd over when it returns SSE_OK; otherwise it stays the caller's.
 * Returns: SSE_OK, SSE_EINVAL (not a listening stream socket), SSE_ESYS, SSE_ENOMEM, SSE_ECLOSED. */
SSE_API SSE_NODISCARD sse_err sse_server_listen_socket(sse_server *server, int fd, char *bound,
                                                       size_t bound_size);

/* Read the files of the certificate and the key again. New connections get the new ones; those that
 * are open live on with what they have.
 * Thread:  any. Reads files, so not inside callbacks.
 * Returns: SSE_OK, SSE_EINVAL (the server has no certificate), SSE_ECERT (the logger is told why),
 *          SSE_ENOMEM.
 * Partial: on an error the old certificate stays in use. */
SSE_API SSE_NODISCARD sse_err sse_server_tls_reload(sse_server *server);

/* Serve one request of your own libmicrohttpd daemon: pass on the arguments of your
 * MHD_AccessHandlerCallback, `cls` aside, and return the value as its result (enum MHD_Result). GET
 * subscribes (to several streams when `stream` is there several times), POST publishes and DELETE removes if http_publish is set, whatever the path; the
 * stream is named by `?stream=`. The daemon needs MHD_ALLOW_SUSPEND_RESUME, and
 * sse_server_completed() as (or called from) its MHD_OPTION_NOTIFY_COMPLETED with the server as
 * closure, for the requests that this function has served. Any threading mode of the daemon but
 * MHD_USE_THREAD_PER_CONNECTION. A daemon without a thread of its own (MHD_run() in your loop) is
 * not woken by an event: it leaves at the loop's next turn, so turn it often. Heartbeats, clients
 * that have gone, and permissions that end (sse_request_set_expiry()) are seen to as they are with
 * sse_server_listen().
 * Thread:  the daemon's. */
SSE_API int sse_server_handle(sse_server *server, struct MHD_Connection *connection,
                              const char *url, const char *method, const char *version,
                              const char *upload_data, size_t *upload_data_size, void **con_cls);
/* `toe` is the enum MHD_RequestTerminationCode. */
SSE_API void sse_server_completed(void *server, struct MHD_Connection *connection, void **con_cls,
                                  int toe);

/* From the next request on, pages of these origins may read and publish ("*": all; n of 0: none).
 * Replaces what the options said; connections that are open stay.
 * Thread:  any.
 * Owns:    copies the origins.
 * Returns: SSE_OK, SSE_EINVAL (one that no page can have; the logger is told why), SSE_ENOMEM.
 * Partial: on an error everything stays as it was. */
SSE_API SSE_NODISCARD sse_err sse_server_set_cors_origins(sse_server *server,
                                                          const char *const *origins, size_t n);

/* Make a stream; nothing happens when it exists. options may be NULL: what the server's options
 * say.
 * Thread:  any.
 * Owns:    copies name and options.
 * Returns: SSE_OK; SSE_EINVAL: a name that is empty, longer than 512 bytes, or holds control
 *          characters or is not UTF-8, or options that make no sense (the logger is told why);
 *          SSE_ELIMIT (max_streams); SSE_ENOMEM; SSE_ECLOSED. */
SSE_API SSE_NODISCARD sse_err sse_server_create_stream(sse_server *server, const char *name,
                                                       const sse_stream_options *options);

/* Remove a stream: its subscribers get what was accepted, and their connections end.
 * Thread:  any.
 * Returns: SSE_OK, SSE_ENOSTREAM. */
SSE_API SSE_NODISCARD sse_err sse_server_remove_stream(sse_server *server, const char *name);

/* Thread: any. */
SSE_API bool sse_server_stream_exists(sse_server *server, const char *name);

/* Forget a stream's history; subscribers still get what waits for them.
 * Thread:  any.
 * Returns: SSE_OK, SSE_ENOSTREAM. */
SSE_API SSE_NODISCARD sse_err sse_server_clear_history(sse_server *server, const char *name);

/* Publish one event to every subscriber of `stream`. An event that holds data and no id gets one,
 * "<epoch>-<number>".
 * Thread:  any. Blocks while the stream's ring is full, except inside the server's callbacks;
 *          sse_server_try_publish() never does.
 * Owns:    borrows all pointers until it returns; copies what it keeps.
 * Returns: SSE_OK, SSE_ENOSTREAM, SSE_EINVAL (id or type holds CR, LF or NUL), SSE_ETOOBIG
 *          (max_event_bytes), SSE_ECLOSED, SSE_ENOMEM; where it does not block: SSE_EFULL. With
 *          auto_stream also what sse_server_create_stream() returns.
 * Partial: on an error nothing was queued.
 * Units:   event->retry_ms in milliseconds. */
SSE_API SSE_NODISCARD sse_err sse_server_publish(sse_server *server, const char *stream,
                                                 const sse_event *event);
SSE_API SSE_NODISCARD sse_err sse_server_try_publish(sse_server *server, const char *stream,
                                                     const sse_event *event);

/* What a stream has done and holds. */
typedef struct sse_stream_stats {
    uint64_t subscribers; /* now */
    uint64_t published;   /* events accepted */
    uint64_t queued;      /* accepted, not yet in the log */
    uint64_t backlog; /* older than the history: kept for subscribers that have not got them yet */
    uint64_t history; /* events that a new subscriber could be sent */
    uint64_t history_bytes; /* of these, in wire format */
    uint64_t bytes_in;      /* wire bytes of the events, each counted once */
    uint64_t bytes_out;     /* of events and gaps, handed to connections */
    uint64_t delivered;     /* events handed to connections, one for each subscriber */
    uint64_t dropped; /* events not delivered because of a drop policy, one for each subscriber */
    uint64_t slow_closed; /* subscribers ended by SSE_SLOW_CLOSE */
    uint64_t gaps;        /* gap events sent */
    uint64_t replayed;    /* subscribers that started from the history */
    char oldest_id[64];   /* of the history, cut to fit; "" when there is none */
    char newest_id[64];   /* likewise */
    uint64_t reserved[8]; /* 0; for what will be counted one day */
} sse_stream_stats;

/* Thread:  any.
 * Returns: SSE_OK, SSE_ENOSTREAM. */
SSE_API SSE_NODISCARD sse_err sse_server_stream_stats(sse_server *server, const char *name,
                                                      sse_stream_stats *out);

/* Call fn for each stream, in the order of their names, without a lock held; the strings and the
 * stats are valid during the call. Anything but 0 from fn stops.
 * Thread:  any.
 * Returns: SSE_OK, SSE_ENOMEM. */
SSE_API SSE_NODISCARD sse_err sse_server_each_stream(sse_server *server,
                                                     int (*fn)(void *user, const char *name,
                                                               const sse_stream_stats *stats),
                                                     void *user);

/* What a hub has done and holds. */
typedef struct sse_server_stats {
    uint64_t streams;       /* now */
    uint64_t subscribers;   /* now */
    uint64_t subscribed;    /* since the start */
    uint64_t left[16];      /* by sse_leave_reason */
    uint64_t published;     /* events accepted, removed streams included; so all below */
    uint64_t delivered;     /* as in sse_stream_stats */
    uint64_t bytes_in;      /* as in sse_stream_stats */
    uint64_t bytes_out;     /* as in sse_stream_stats */
    uint64_t dropped;       /* as in sse_stream_stats */
    uint64_t gaps;          /* as in sse_stream_stats */
    uint64_t replayed;      /* as in sse_stream_stats */
    uint64_t connections;   /* now, of our listeners */
    uint64_t accepted;      /* connections, since the start */
    uint64_t accept_errors; /* accept() failed, for want of descriptors mostly */
    uint64_t refused;       /* requests answered with 401, 403, 413 or 429 */
    uint64_t workers;       /* stream worker threads now */
    uint64_t draining;      /* 1 after sse_server_close() */
    uint64_t
        connects_refused; /* connections refused as soon as they had come, because of a limit or for want of memory */
    uint64_t reserved[16]; /* 0; for what will be counted one day */
} sse_server_stats;

/* Thread: any. */
SSE_API void sse_server_get_stats(sse_server *server, sse_server_stats *out);

#ifdef __cplusplus
}
#endif
#endif
