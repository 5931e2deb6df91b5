/* The private side of clients and subscriptions.
 *
 * References of a subscription: one for the handle, one for the client's list (from its start until
 * its thread has been joined), one for the runner (the thread that performs it). Each subscription
 * holds a reference of its client.
 *
 * Who does what: client.c keeps the list and ends threads, options.c copies what the user gave,
 * subscription.c is the handle, session.c is the life of one subscription on its runner, delivery.c
 * takes what the parser finds to the user. */
#ifndef SSE__SUBSCRIPTION_H
#define SSE__SUBSCRIPTION_H

#include "reconnect.h"
#include "sync.h"
#include "transport.h"

#include <sse/client.h>
#include <sse/parser.h>

struct sse_client {
    sse_client_options options;      /* immutable; strings are its own */
    char *url;                       /* immutable */
    char **lines;                    /* immutable; headers of each request, ended by NULL */
    size_t nlines;                   /* immutable */
    sse__transport_config transport; /* immutable; borrows from options */
    sse__reconnect_config reconnect; /* immutable */
    atomic_uint refs;

    sse__mutex mu; /* rank CLIENT; guards everything below, and the list fields of subscriptions */
    sse__cond changed;      /* a runner has finished */
    sse_subscription *subs; /* started ones */
    size_t nfinished;       /* threads in the list that can be joined */
    size_t njoining;        /* threads that have left it and are being joined */
    bool closed;
    bool abandoned; /* freed inside a callback: nobody will join the threads */
};

struct sse_subscription {
    /* immutable */
    sse_client *client;
    char *stream;
    char *url;
    sse_client_callbacks callbacks;
    void *user;
    sse_chan *chan;
    sse__transport *transport; /* sse__transport_wakeup() from any thread, the rest by the runner */
    bool keep_chan_open;
    bool together; /* several streams: an event's id says which */

    atomic_bool stop;       /* end it */
    atomic_bool again;      /* connect again now */
    atomic_bool id_pending; /* `id` is to go into the parser */
    atomic_uint refs;
    atomic_int state;  /* sse_subscription_status */
    atomic_int reason; /* sse_err */

    /* runner only */
    sse_subscription *outer; /* on this thread, the one inside whose callback this one runs */
    sse_parser *parser;
    sse__reconnect reconnect;
    const char **lines; /* the client's, then Last-Event-ID, then NULL */
    char *id_line;
    size_t id_line_cap;
    char *decoded; /* base64 */
    size_t decoded_cap;
    uint64_t opened_ms;
    sse_err sink_err; /* why an event could not be handed over */
    int http_status;  /* of the connection that is open */
    bool opened;
    bool delivered;
    bool rejected_for_good;
    bool undelivered; /* the parser's last id is that of an event that was not handed over */

    /* guarded by client->mu */
    sse__thread thread;
    sse_subscription *prev, *next;
    bool started;
    bool running;
    bool threaded; /* it has a thread that nobody has joined yet */
    bool listed;

    sse__mutex mu; /* rank SUBSCRIPTION; guards everything below */
    char *id;      /* last event id, as it is seen from outside */
    size_t id_len;
    size_t id_cap;
};

/* ---- options.c ---- */

/* Fill options, url, lines, transport and reconnect.
 * Returns: SSE_OK, SSE_EINVAL, SSE_ENOMEM; what was made is in the client. */
SSE_NODISCARD sse_err sse__client_configure(sse_client *c, const char *url,
                                            const sse_client_options *options);
void sse__client_unconfigure(sse_client *c);
/* True for an id that can be sent. */
bool sse__id_valid(sse_str id);

/* ---- client.c ---- */

sse_client *sse__client_ref(sse_client *c);
void sse__client_unref(sse_client *c);
/* Enter the list and run: on a new thread, or on the caller's. */
SSE_NODISCARD sse_err sse__client_start(sse_subscription *sub, bool threaded);
/* The runner is done: no callback comes any more. Gives the runner's reference back. */
void sse__client_finished(sse_subscription *sub);
/* Wait for that, and join. */
void sse__client_await(sse_subscription *sub);

/* ---- subscription.c ---- */

void sse__subscription_unref(sse_subscription *sub);
/* Set `stop` or `again` and wake the runner. */
void sse__subscription_interrupt(sse_subscription *sub, atomic_bool *flag);
static inline bool sse__interrupted(const sse_subscription *sub) { return sub->stop || sub->again; }
/* Copy the parser's last id to where others see it. Runner only. */
void sse__subscription_publish_id(sse_subscription *sub);
/* Take over an id that the user has set. Runner only. */
void sse__subscription_apply_id(sse_subscription *sub);

/* ---- session.c ---- */

/* The whole life of a subscription. Calls on_close at its end. */
void sse__session_run(sse_subscription *sub);
/* True on a thread that runs a subscription of this client. */
bool sse__session_inside(const sse_client *c);
/* True on the thread that runs this one. */
bool sse__session_is_self(const sse_subscription *sub);
/* Tell the user that an event was lost. */
void sse__session_lost(sse_subscription *sub, sse_err err, const char *what);

extern const sse__transport_callbacks sse__session_callbacks;

/* ---- delivery.c ---- */

extern const sse_parser_callbacks sse__delivery_callbacks;

#endif
