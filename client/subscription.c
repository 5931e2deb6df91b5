/* The handle of a subscription: making, starting, ending, and the last event id as it is seen from
 * outside. What the runner does is in session.c.
 *
 * Two flags reach into the runner from any thread: `stop` and `again`. Each is set first, then the
 * runner is woken wherever it may wait: in the transport, or for room in a channel.
 *
 * The last event id lives twice: in the parser, which only the runner touches, and in `id`, under a
 * lock of its own. The runner copies it out after each read (after each event with a channel), and
 * not for each event of a callback, because a lock per event would be the dearest thing on that
 * way. Inside callbacks the parser itself is asked. */
#include "subscription.h"

#include "chan.h"
#include "sized.h"
#include "url.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void subscription_destroy(sse_subscription *sub)
{
    sse__transport_free(sub->transport);
    sse_parser_free(sub->parser);
    sse_chan_unref(sub->chan);
    sse__mutex_fini(&sub->mu);
    free(sub->stream);
    free(sub->url);
    free(sub->lines);
    free(sub->id_line);
    free(sub->decoded);
    free(sub->id);
    sse__client_unref(sub->client);
    free(sub);
}

void sse__subscription_unref(sse_subscription *sub)
{
    if (atomic_fetch_sub(&sub->refs, 1) == 1)
        subscription_destroy(sub);
}

/* ---- Making ---- */

static sse_err copy_names(sse_subscription *sub, const sse_subscribe_options *options)
{
    sse_client *c = sub->client;
    size_t n = options->stream_count ? options->stream_count : 1;
    const char *const *names = options->stream_count ? options->streams : &options->stream;
    sub->url = strdup(c->url);
    for (size_t i = 0; i < n && sub->url; i++) {
        char *longer = sse__url_with(sub->url, "stream", names[i]);
        free(sub->url);
        sub->url = longer;
    }
    sub->together = sub->url && sse__url_count(sub->url, "stream") > 1;
    if (n == 1 && names[0] && !sub->together && !(sub->stream = strdup(names[0])))
        return SSE_ENOMEM;
    sub->lines = calloc(c->nlines + 2, sizeof *sub->lines);
    if (!sub->url || !sub->lines)
        return SSE_ENOMEM;
    for (size_t i = 0; i < c->nlines; i++)
        sub->lines[i] = c->lines[i];
    return SSE_OK;
}

static sse_err copy_callbacks(sse_subscription *sub, const sse_client_callbacks *callbacks)
{
    if (callbacks && !sse__copy_sized(&sub->callbacks, sizeof sub->callbacks, callbacks))
        return SSE_EINVAL;
    return SSE_OK;
}

static sse_err make_parser(sse_subscription *sub)
{
    sse_parser_options options = SSE_PARSER_OPTIONS_INIT;
    options.max_event_bytes = sub->client->options.max_event_bytes;
    return sse_parser_new(&options, &sse__delivery_callbacks, sub, &sub->parser);
}

static sse_err set_up(sse_subscription *sub, const sse_subscribe_options *options)
{
    sse_client *c = sub->client;
    sub->user = options->user;
    sub->keep_chan_open = options->keep_chan_open;
    if (options->chan)
        sub->chan = sse_chan_ref(options->chan);
    sub->reconnect.config = c->reconnect;
    sse_err err = copy_names(sub, options);
    if (err == SSE_OK)
        err = copy_callbacks(sub, options->callbacks);
    if (err == SSE_OK)
        err = make_parser(sub);
    const char *id = options->last_event_id ? options->last_event_id : c->options.last_event_id;
    if (err == SSE_OK && id)
        err = sse_subscription_set_last_event_id(sub, sse_cstr(id));
    if (err == SSE_OK)
        err = sse__transport_new(&c->transport, &sse__session_callbacks, sub, &sub->transport);
    return err;
}

static bool good_streams(const sse_subscribe_options *options)
{
    if (options->stream_count > 0 && (options->stream || !options->streams))
        return false;
    for (size_t i = 0; i < options->stream_count; i++)
        if (!options->streams[i])
            return false;
    return true;
}

sse_err sse_subscription_new(sse_client *c, const sse_subscribe_options *options,
                             sse_subscription **out)
{
    *out = NULL;
    sse_subscribe_options all = SSE_SUBSCRIBE_OPTIONS_INIT;
    if (!c || (options && !sse__copy_sized(&all, sizeof all, options)) || !good_streams(&all))
        return SSE_EINVAL;
    sse_subscription *sub = calloc(1, sizeof *sub);
    if (!sub)
        return SSE_ENOMEM;
    atomic_init(&sub->refs, 1);
    sse__mutex_init(&sub->mu, SSE__RANK_SUBSCRIPTION);
    sub->client = sse__client_ref(c);
    sse_err err = set_up(sub, &all);
    if (err != SSE_OK) {
        subscription_destroy(sub);
        return err;
    }
    *out = sub;
    return SSE_OK;
}

/* ---- Running ---- */

sse_err sse_subscription_start(sse_subscription *sub) { return sse__client_start(sub, true); }

/* TLS writes with write(), which raises SIGPIPE when the peer is gone. On a thread of our own all
 * signals are blocked; here it is the user's. One that arrived meanwhile is taken back before the
 * mask is. */
static bool block_sigpipe(sigset_t *old)
{
    sigset_t pipe_only, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_only, old);
    return !sigismember(old, SIGPIPE) && !sigismember(&pending, SIGPIPE);
}

static void restore_sigpipe(const sigset_t *old, bool ours)
{
    if (ours) {
        sigset_t pipe_only;
        struct timespec at_once = {0, 0};
        sigemptyset(&pipe_only);
        sigaddset(&pipe_only, SIGPIPE);
        sigtimedwait(&pipe_only, NULL, &at_once);
    }
    pthread_sigmask(SIG_SETMASK, old, NULL);
}

sse_err sse_subscription_run(sse_subscription *sub)
{
    sse_err err = sse__client_start(sub, false);
    if (err != SSE_OK)
        return err;
    sigset_t old;
    bool ours = block_sigpipe(&old);
    sse__session_run(sub);
    restore_sigpipe(&old, ours);
    err = sse_subscription_reason(sub);
    sse__client_finished(sub);
    return err;
}

void sse__subscription_interrupt(sse_subscription *sub, atomic_bool *flag)
{
    *flag = true;
    sse__transport_wakeup(sub->transport);
    if (sub->chan)
        sse__chan_wake_senders(sub->chan);
}

void sse_subscription_close(sse_subscription *sub) { sse__subscription_interrupt(sub, &sub->stop); }

void sse_subscription_stop(sse_subscription *sub)
{
    sse_subscription_close(sub);
    if (!sse__session_inside(sub->client))
        sse__client_await(sub);
}

void sse_subscription_free(sse_subscription *sub)
{
    if (!sub)
        return;
    sse_subscription_stop(sub);
    sse__subscription_unref(sub);
}

void sse_subscription_reconnect(sse_subscription *sub)
{
    sse__subscription_interrupt(sub, &sub->again);
}

/* ---- Last event id ---- */

static sse_err store_id_locked(sse_subscription *sub, sse_str id)
{
    if (id.len > sub->id_cap) {
        char *grown = realloc(sub->id, id.len);
        if (!grown)
            return SSE_ENOMEM;
        sub->id = grown;
        sub->id_cap = id.len;
    }
    if (id.len)
        memcpy(sub->id, id.ptr, id.len);
    sub->id_len = id.len;
    return SSE_OK;
}

void sse__subscription_publish_id(sse_subscription *sub)
{
    sse_str id = sse_parser_last_event_id(sub->parser);
    sse__mutex_lock(&sub->mu);
    /* Without memory the older id stays: resuming from there repeats events, but loses none. */
    if (!sub->id_pending)
        (void)!store_id_locked(sub, id);
    sse__mutex_unlock(&sub->mu);
}

void sse__subscription_apply_id(sse_subscription *sub)
{
    if (!sub->id_pending)
        return;
    sse__mutex_lock(&sub->mu);
    sse_str id = {sub->id ? sub->id : "", sub->id_len};
    if (sse_parser_set_last_event_id(sub->parser, id) == SSE_OK)
        sub->id_pending = false;
    sse__mutex_unlock(&sub->mu);
}

sse_err sse_subscription_set_last_event_id(sse_subscription *sub, sse_str id)
{
    if (!sse__id_valid(id))
        return SSE_EINVAL;
    sse__mutex_lock(&sub->mu);
    sse_err err = store_id_locked(sub, id);
    if (err == SSE_OK)
        sub->id_pending = true;
    sse__mutex_unlock(&sub->mu);
    return err;
}

static size_t copy_id(sse_str id, char *buf, size_t cap)
{
    if (id.len && id.len <= cap)
        memcpy(buf, id.ptr, id.len);
    return id.len;
}

size_t sse_subscription_last_event_id(sse_subscription *sub, char *buf, size_t cap)
{
    if (sse__session_is_self(sub) && !sub->id_pending && !sub->chan)
        return copy_id(sse_parser_last_event_id(sub->parser), buf, cap);
    sse__mutex_lock(&sub->mu);
    size_t n = copy_id((sse_str){sub->id, sub->id_len}, buf, cap);
    sse__mutex_unlock(&sub->mu);
    return n;
}

/* ---- Looking at it ---- */

sse_subscription_status sse_subscription_state(const sse_subscription *sub)
{
    return (sse_subscription_status)sub->state;
}

const char *sse_subscription_status_name(sse_subscription_status status)
{
    static const char *const names[] = {"new", "connecting", "open", "waiting", "closed"};
    return (unsigned)status < sizeof names / sizeof names[0] ? names[status] : "unknown";
}

sse_err sse_subscription_reason(const sse_subscription *sub) { return (sse_err)sub->reason; }

const char *sse_subscription_stream(const sse_subscription *sub) { return sub->stream; }

sse_client *sse_subscription_client(const sse_subscription *sub) { return sub->client; }

/* ---- Responses ---- */

int sse_response_status(const sse_response *response) { return response->status; }

const char *sse_response_url(const sse_response *response) { return response->url; }

const char *sse_response_header(const sse_response *response, const char *name)
{
    return sse__transport_header(response->transport, name);
}
