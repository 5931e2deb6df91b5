/* The client: subscribes to event streams over HTTP, reconnects, resumes after the last event id.
 *
 * A client is a URL with options. Each subscription of it has a thread of its own (or borrows the
 * caller's, when the caller asks to block), one connection at a time, and delivers into callbacks
 * or into a channel. WHATWG HTML, "Server-sent events". */
#ifndef SSE_CLIENT_H
#define SSE_CLIENT_H

#include <sse/chan.h>
#include <sse/event.h>
#include <sse/log.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A URL with options, and its subscriptions. */
typedef struct sse_client sse_client;
/* One stream that is subscribed to. */
typedef struct sse_subscription sse_subscription;
/* What the server answered. */
typedef struct sse_response sse_response;

/* ---- What the server answered ----
 * Valid until the callback that receives it returns; only for the thread of that callback. */

/* The HTTP status. */
SSE_API int sse_response_status(const sse_response *response);
/* The URL that answered, after redirects. Never NULL. */
SSE_API const char *sse_response_url(const sse_response *response);
/* A header's value by its name (case does not matter), or NULL. Valid until the next call of this
 * function. */
SSE_API const char *sse_response_header(const sse_response *response, const char *name);

/* ---- What went wrong ---- */

/* Pointers are valid until the callback that receives it returns. */
typedef struct sse_client_error {
    sse_err err;      /* why, in one word; SSE_EGAVEUP in on_close when attempts ran out */
    int curl_code;    /* CURLcode of the transfer, 0 when curl has nothing to complain about */
    int http_status;  /* 0: no answer came */
    uint32_t attempt; /* failures in a row without an open connection, this one included */
    uint64_t retry_after_ms;  /* what a Retry-After header asked for; 0: none */
    uint64_t server_retry_ms; /* the stream's last retry field, when has_server_retry */
    const char *message;      /* one sentence for people, without a full stop; never NULL */
    const char *content_type; /* of the answer; NULL: none */
    const char *url;          /* that was asked last, after redirects; never NULL */
    bool has_server_retry;    /* the stream has sent a retry field */
    bool final;               /* the subscription ends; no reconnection follows */
    bool connected; /* the connection goes on: only an event was lost (SSE_ETOOBIG, SSE_EBASE64,
                       SSE_ENOMEM) */
    bool reserved[5];
    /* What the server says with a status of 400 or above: a sentence, JSON, a page. The first 4 KiB,
     * which may cut a character in two, or as much of them as has come within a second. Never
     * NULL; a NUL is behind it, and from a hostile server may also be in it, as may escape sequences
     * for terminals. Empty: it says nothing, or it is another error. */
    sse_str body;
} sse_client_error;

/* ---- Callbacks of a subscription ----
 * They run on the subscription's thread, one at a time, no lock held. Any function of this header
 * may be called inside them. All are optional. After sse_subscription_close() inside one of them
 * only on_close still comes. */
/* The callbacks. */
typedef struct sse_client_callbacks {
    size_t size; /* set by SSE_CLIENT_CALLBACKS_INIT */
    /* The server answered with an event stream. Before any event of this connection. */
    void (*on_open)(void *user, sse_subscription *sub, const sse_response *response);
    /* An event: id and data are always present, its type unless it is "message". Valid during the
     * call; its strings have a length and no NUL behind them. sse_msg_new() makes a copy that stays
     * and has. Not called when the subscription has a channel. */
    void (*on_event)(void *user, sse_subscription *sub, const sse_event *event);
    /* A comment line, in order with the events. */
    void (*on_comment)(void *user, sse_subscription *sub, sse_str comment);
    /* An attempt failed, a connection ended (SSE_EEOF: in good order), or an event was lost
     * (error->connected). */
    void (*on_error)(void *user, sse_subscription *sub, const sse_client_error *error);
    /* The next attempt comes after delay_ms. */
    void (*on_retry)(void *user, sse_subscription *sub, const sse_client_error *error,
                     uint64_t delay_ms);
    /* The last callback, exactly once for each subscription that was started. SSE_ECANCELED: the
     * user ended it; anything else: the error that was final. */
    void (*on_close)(void *user, sse_subscription *sub, const sse_client_error *why);
} sse_client_callbacks;
#define SSE_CLIENT_CALLBACKS_INIT                                                                  \
    {                                                                                              \
        sizeof(sse_client_callbacks), NULL, NULL, NULL, NULL, NULL, NULL                           \
    }

/* ---- Options of a client ---- */

/* What the validate callback says about an answer. */
typedef enum sse_verdict {
    SSE_VERDICT_DEFAULT = 0, /* the standard's rules: 200 with text/event-stream opens, and so on */
    SSE_VERDICT_ACCEPT,      /* this is an event stream, whatever status and content type say */
    SSE_VERDICT_RETRY,       /* it is not: SSE_EREJECTED, try again later */
    SSE_VERDICT_FAIL         /* it is not: SSE_EREJECTED, end the subscription */
} sse_verdict;

/* Options of a client. */
typedef struct sse_client_options {
    size_t size; /* set by SSE_CLIENT_OPTIONS_INIT */

    /* The request. Everything is sent again on every reconnection. */
    const char *method; /* NULL: GET, or POST when there is a body */
    /* "Name: value", ended by NULL; "Name:" removes a default header. Those of the library give way
     * to them; Last-Event-ID is taken as last_event_id. A redirection to another host, port or
     * scheme drops Authorization and Cookie. */
    const char *const *headers;
    sse_str body;              /* absent: none. No content type is made up for it. */
    const char *last_event_id; /* to start from; NULL or "": none */
    /* NULL: none is asked for; "": all that curl can decode; else a list. */
    const char *accept_encoding;

    /* The way to the server. */
    const char *cacert;      /* file of CA certificates (PEM); NULL: the system's */
    const char *cert;        /* client certificate (PEM) */
    const char *key;         /* its key (PEM); NULL: in the same file */
    const char *proxy;       /* NULL: as the environment says (http_proxy, ...); "": none */
    const char *unix_socket; /* connect to this socket instead of host and port */

    /* Callbacks about all subscriptions; called on the subscription's thread with `user`. */
    void *user;
    /* Before each request, with the CURL * that is about to perform it: set what the options here
     * do not offer. Leave alone: CURLOPT_PRIVATE, the write, header and prereq functions,
     * CURLOPT_HTTPHEADER, CURLOPT_ERRORBUFFER. SSE_OK goes on; SSE_ECANCELED ends the subscription;
     * another error makes this attempt fail with it. */
    sse_err (*on_request)(void *user, sse_subscription *sub, void *curl_easy_handle);
    /* Judges an answer before the library does. */
    sse_verdict (*validate)(void *user, sse_subscription *sub, const sse_response *response);
    /* Decides on the delay before the next attempt: *delay_ms holds what the library would wait.
     * False: give up. Not asked about errors that are final. */
    bool (*next_delay)(void *user, sse_subscription *sub, const sse_client_error *error,
                       uint64_t *delay_ms);
    sse_logger logger; /* what the library has to tell */

    size_t max_event_bytes; /* 0 = 16 MiB; a bigger event is dropped and reported (SSE_ETOOBIG) */
    /* Resolving, connecting and TLS; 0 = 30000; SSE_OFF = none. */
    uint32_t connect_timeout_ms;
    /* From the request to the end of the answer's headers; 0 = 60000; SSE_OFF = none. */
    uint32_t response_timeout_ms;
    /* Since the last byte of an open stream, comments included; 0 and SSE_OFF = none. */
    uint32_t idle_timeout_ms;
    uint32_t retry_ms; /* first delay while the server gives none; 0 = 1000 */
    /* No delay is longer. 0 = 30000 for the library's own delays, an hour for those that the server
     * asks for with retry and Retry-After. */
    uint32_t max_retry_ms;
    /* Failures in a row without an open connection; then SSE_EGAVEUP. 0 and SSE_OFF = no limit. */
    uint32_t max_attempts;
    uint32_t max_redirects; /* 0 = 10; SSE_OFF = a redirection is an error */
    bool base64;            /* decode each event's data */
    bool insecure;          /* do not verify the server's certificate */
    bool no_reconnect;      /* end with the first connection */
    bool reserved[1];
} sse_client_options;
#define SSE_CLIENT_OPTIONS_INIT                                                                    \
    {                                                                                              \
        sizeof(sse_client_options), NULL, NULL, {NULL, 0}, NULL, NULL, NULL, NULL, NULL, NULL,     \
            NULL, NULL, NULL, NULL, NULL, {NULL, NULL, SSE_LOG_DEFAULT, 0}, 0, 0, 0, 0, 0, 0, 0,   \
            0, false, false, false,                                                                \
        {                                                                                          \
            false                                                                                  \
        }                                                                                          \
    }

/* Make a client for a URL (http or https; without a scheme http is meant). options may be NULL.
 * Nothing is connected yet.
 * Thread:  any. Initialises curl on its first call.
 * Owns:    copies everything; the caller owns *out: sse_client_free().
 * Returns: SSE_OK, SSE_EINVAL (URL, header, method or id that cannot be sent), SSE_ENOMEM.
 * Partial: on an error *out is NULL. */
SSE_API SSE_NODISCARD sse_err sse_client_new(const char *url, const sse_client_options *options,
                                             sse_client **out);

/* Begin to end all subscriptions of a client; later ones are refused with SSE_ECLOSED. Idempotent.
 * Thread:  any, inside callbacks too. Never blocks. */
SSE_API void sse_client_close(sse_client *client);

/* sse_client_close(), and wait until no callback of any of its subscriptions can run any more and
 * their threads are gone.
 * Thread:  any. Inside a callback of one of its subscriptions it acts as sse_client_close(). */
SSE_API void sse_client_stop(sse_client *client);

/* sse_client_stop(), and give the client back. Handles of its subscriptions stay valid until they
 * are freed. NULL is fine.
 * Thread:  any, inside callbacks too: there it does not wait, and the threads end by themselves. */
SSE_API void sse_client_free(sse_client *client);

/* ---- Subscribing, the three short ways ----
 * `stream` is added to the URL as the query parameter stream=NAME; NULL takes the URL as it is. */

/* Subscribe and stay: callbacks run on the calling thread until the subscription ends.
 * Thread:  any; several at the same time. It ends by itself, or when a callback closes its `sub`,
 *          or by sse_client_close(). SIGPIPE is blocked for the thread meanwhile.
 * Owns:    borrows stream and callbacks until it returns.
 * Returns: why it ended, as on_close: SSE_ECANCELED after a close, SSE_ESTOPPED after a 204,
 *          SSE_EGAVEUP, SSE_ECONTENT, SSE_EHTTP, SSE_EREDIRECT, ...; without any callback:
 *          SSE_EINVAL, SSE_ENOMEM, SSE_ESYS, SSE_ECLOSED. */
SSE_API SSE_NODISCARD sse_err sse_client_subscribe(sse_client *client, const char *stream,
                                                   const sse_client_callbacks *callbacks,
                                                   void *user);

/* Subscribe in the background: callbacks run on a thread of the subscription.
 * Thread:  any. Returns before the connection is there.
 * Owns:    copies stream and callbacks. *out, if out is not NULL, is the caller's:
 *          sse_subscription_free(). Without a handle the subscription belongs to the client alone.
 * Returns: SSE_OK, SSE_EINVAL, SSE_ENOMEM, SSE_ESYS, SSE_ECLOSED.
 * Partial: on an error no callback comes and *out is NULL. */
SSE_API SSE_NODISCARD sse_err sse_client_subscribe_start(sse_client *client, const char *stream,
                                                         const sse_client_callbacks *callbacks,
                                                         void *user, sse_subscription **out);

/* Subscribe in the background into a channel. When the subscription ends for good it closes the
 * channel with the reason. A channel that its receiver closes ends the subscription with the next
 * event (SSE_ECLOSED). While a blocking channel is full the connection is not read, so that TCP
 * slows the server down; ending the subscription does not wait for room.
 * The same statements hold as for sse_client_subscribe_start(); takes a reference to chan. */
SSE_API SSE_NODISCARD sse_err sse_client_subscribe_chan(sse_client *client, const char *stream,
                                                        sse_chan *chan, sse_subscription **out);

/* sse_subscription_stop() for every subscription of the client that sends into chan; nothing is
 * sent after it. Idempotent; chan may be NULL.
 * Thread:  any. Inside a callback of one of the client's subscriptions it only closes them. */
SSE_API void sse_client_unsubscribe(sse_client *client, sse_chan *chan);

/* ---- Subscriptions, step by step ---- */

/* Options of a subscription. */
typedef struct sse_subscribe_options {
    size_t size;                           /* set by SSE_SUBSCRIBE_OPTIONS_INIT */
    const char *stream;                    /* NULL: the client's URL as it is */
    const char *last_event_id;             /* NULL: the client's */
    const sse_client_callbacks *callbacks; /* NULL: none */
    void *user;                            /* for the callbacks */
    sse_chan *chan;                        /* NULL: events go to on_event */
    bool keep_chan_open; /* do not close chan at the end: others send into it too */
    bool reserved[7];
    /* Several streams over one connection, instead of `stream`: a stream=NAME parameter for each. Which one an event came from is
     * in its id: sse_event_stream(); messages in a channel have it as their stream. */
    const char *const *streams;
    size_t stream_count; /* of streams */
} sse_subscribe_options;
#define SSE_SUBSCRIBE_OPTIONS_INIT                                                                 \
    {                                                                                              \
        sizeof(sse_subscribe_options), NULL, NULL, NULL, NULL, NULL, false, {false}, NULL, 0       \
    }

/* Make a subscription that is not started. options may be NULL.
 * Thread:  any.
 * Owns:    copies strings and callbacks, takes a reference to chan; the caller owns *out:
 *          sse_subscription_free().
 * Returns: SSE_OK, SSE_EINVAL (also `stream` and `streams` both set, or a NULL among the latter), SSE_ENOMEM, SSE_ESYS.
 * Partial: on an error *out is NULL. */
SSE_API SSE_NODISCARD sse_err sse_subscription_new(sse_client *client,
                                                   const sse_subscribe_options *options,
                                                   sse_subscription **out);

/* Start it on a thread of its own, once.
 * Thread:  any.
 * Returns: SSE_OK; SSE_EINVAL: started before; SSE_ECLOSED: it or its client is closed; SSE_ENOMEM,
 *          SSE_ESYS: no thread was to be had. */
SSE_API SSE_NODISCARD sse_err sse_subscription_start(sse_subscription *sub);

/* Run it on the calling thread until it ends, once. SIGPIPE is blocked for this thread meanwhile.
 * Thread:  any.
 * Returns: why it ended, as sse_client_subscribe(); SSE_EINVAL and SSE_ECLOSED as
 *          sse_subscription_start(). */
SSE_API SSE_NODISCARD sse_err sse_subscription_run(sse_subscription *sub);

/* Begin to end it, in whatever state it is. Called from another thread it may be overtaken by one
 * callback that is just beginning; then on_close comes. Idempotent.
 * Thread:  any, inside callbacks too. Never blocks. */
SSE_API void sse_subscription_close(sse_subscription *sub);

/* sse_subscription_close(), and wait until no callback can run any more: on_close has returned, the
 * thread is gone.
 * Thread:  any. Inside a callback of any subscription of the same client it acts as
 *          sse_subscription_close(): two callbacks that stopped each other's subscriptions would
 *          wait for ever. */
SSE_API void sse_subscription_stop(sse_subscription *sub);

/* sse_subscription_stop(), and give the handle back. NULL is fine.
 * Thread:  any, inside callbacks too. */
SSE_API void sse_subscription_free(sse_subscription *sub);

/* Connect again now: drops the delay that it waits, or the connection that it has. No on_error
 * comes for that. It takes effect after a callback that is under way, and after an event that waits
 * for room in a channel.
 * Thread:  any, inside callbacks too. Never blocks. */
SSE_API void sse_subscription_reconnect(sse_subscription *sub);

/* Copy the last event id: that of the last event delivered. Inside this subscription's callbacks
 * and after stop it is exact; from another thread it may be behind by the events of one read, never
 * ahead.
 * Thread:  any.
 * Owns:    fills buf; no NUL is written.
 * Returns: the id's length; when it is more than cap nothing was copied. */
SSE_API size_t sse_subscription_last_event_id(sse_subscription *sub, char *buf, size_t cap);

/* Set the last event id for the next connection; an id that the stream sends later replaces it.
 * Empty: forget it.
 * Thread:  any.
 * Owns:    copies the id.
 * Returns: SSE_OK, SSE_EINVAL (CR, LF or NUL in it), SSE_ENOMEM. */
SSE_API SSE_NODISCARD sse_err sse_subscription_set_last_event_id(sse_subscription *sub, sse_str id);

/* What a subscription does at a moment. */
typedef enum sse_subscription_status {
    SSE_SUBSCRIPTION_NEW = 0,    /* not started */
    SSE_SUBSCRIPTION_CONNECTING, /* until the answer is judged */
    SSE_SUBSCRIPTION_OPEN,
    SSE_SUBSCRIPTION_WAITING, /* for the next attempt */
    SSE_SUBSCRIPTION_CLOSED   /* for good */
} sse_subscription_status;

/* What it does at this moment.
 * Thread:  any. */
SSE_API sse_subscription_status sse_subscription_state(const sse_subscription *sub);
/* "new", "connecting", "open", "waiting", "closed"; "unknown" for others.
 * Thread:  any. */
SSE_API const char *sse_subscription_status_name(sse_subscription_status status);

/* Why it ended; SSE_OK while it has not.
 * Thread:  any. */
SSE_API sse_err sse_subscription_reason(const sse_subscription *sub);

/* The stream's name as it was given, or NULL (none, or several); and the client. Valid as long as the handle.
 * Thread:  any. */
SSE_API const char *sse_subscription_stream(const sse_subscription *sub);
SSE_API sse_client *sse_subscription_client(const sse_subscription *sub);

#ifdef __cplusplus
}
#endif
#endif
