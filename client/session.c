/* The life of one subscription: connect, deliver, judge what ended it, wait, again. Runs on one
 * thread, the runner, from sse__session_run() to on_close; all callbacks of the user are called
 * from here or from delivery.c, with no lock held.
 *
 * After `stop` nothing is called but on_close. Every call into the user's code is followed by a
 * look at the flags, either here or by an error that makes the transport return. */
#include "chan.h"
#include "clock.h"
#include "logger.h"
#include "sentence.h"
#include "subscription.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The subscriptions that run on this thread, the innermost first: a callback may block in a
 * subscription of another client. */
static _Thread_local sse_subscription *running;

bool sse__session_inside(const sse_client *c)
{
    for (const sse_subscription *sub = running; sub; sub = sub->outer)
        if (sub->client == c)
            return true;
    return false;
}

bool sse__session_is_self(const sse_subscription *sub)
{
    for (const sse_subscription *s = running; s; s = s->outer)
        if (s == sub)
            return true;
    return false;
}

static const sse_logger *logger_of(const sse_subscription *sub)
{
    return &sub->client->options.logger;
}

/* ---- Telling the user ---- */

static sse_client_error make_error(const sse_subscription *sub, const sse__result *result)
{
    sse_client_error e = {
        .err = result->err,
        .curl_code = result->curl_code,
        .http_status = result->http_status,
        .attempt = sub->reconnect.attempts,
        .retry_after_ms = result->retry_after_ms,
        .server_retry_ms = sub->reconnect.server_retry_ms,
        .message = result->message,
        .content_type = result->content_type,
        .url = result->url,
        .has_server_retry = sub->reconnect.has_server_retry,
        .body = result->body.ptr ? result->body : sse_cstr(""),
    };
    return e;
}

void sse__session_lost(sse_subscription *sub, sse_err err, const char *what)
{
    sse__result result = {
        .err = err, .http_status = sub->http_status, .message = what, .url = sub->url};
    sse_client_error e = make_error(sub, &result);
    e.connected = true;
    sse__log(logger_of(sub), SSE_LOG_WARN, "%s: %s", sub->url, what);
    if (sub->chan)
        sse__chan_count_lost(sub->chan); /* its receiver may have no callbacks */
    if (sub->callbacks.on_error)
        sub->callbacks.on_error(sub->user, sub, &e);
}

/* Better words for what is not curl's to explain. */
static void explain(sse__result *result, char *text, size_t size)
{
    switch (result->err) {
    case SSE_EHTTP:
        snprintf(text, size, "the server answered with status %d", result->http_status);
        break;
    case SSE_ECONTENT:
        snprintf(text, size, "the server answered with %s%.200s, not with an event stream",
                 result->content_type ? "content type " : "no content type",
                 result->content_type ? result->content_type : "");
        break;
    case SSE_EREDIRECT:
        if (result->curl_code)
            return;
        snprintf(text, size, "the server answered with status %d and nowhere to go",
                 result->http_status);
        break;
    default:
        return;
    }
    result->message = text;
}

/* ---- What the transport calls ---- */

static sse_err on_request(void *user, void *handle)
{
    sse_subscription *sub = user;
    const sse_client_options *o = &sub->client->options;
    sse_err err = SSE_OK;
    if (o->on_request)
        err = o->on_request(o->user, sub, handle);
    return sse__interrupted(sub) ? SSE_ECANCELED : err;
}

static sse_err verdict(sse_subscription *sub, const sse_response *response)
{
    const sse_client_options *o = &sub->client->options;
    sse_verdict v = SSE_VERDICT_DEFAULT;
    if (o->validate)
        v = o->validate(o->user, sub, response);
    switch (v) {
    case SSE_VERDICT_ACCEPT:
        return SSE_OK;
    case SSE_VERDICT_RETRY:
    case SSE_VERDICT_FAIL:
        sub->rejected_for_good = v == SSE_VERDICT_FAIL;
        return SSE_EREJECTED;
    case SSE_VERDICT_DEFAULT:
        break;
    }
    return sse__judge(response->status, response->content_type);
}

static sse_err on_response(void *user, const sse_response *response)
{
    sse_subscription *sub = user;
    sse_err err = verdict(sub, response);
    if (sse__interrupted(sub))
        return SSE_ECANCELED;
    if (err != SSE_OK)
        return err;
    sub->opened = true;
    sub->http_status = response->status;
    sub->opened_ms = sse__now_ms();
    sub->state = SSE_SUBSCRIPTION_OPEN;
    sse__reconnect_opened(&sub->reconnect);
    sse__log(logger_of(sub), SSE_LOG_INFO, "%s: open", response->url);
    if (sub->callbacks.on_open)
        sub->callbacks.on_open(sub->user, sub, response);
    return sse__interrupted(sub) ? SSE_ECANCELED : SSE_OK;
}

static sse_err on_body(void *user, const char *bytes, size_t n)
{
    sse_subscription *sub = user;
    if (sse__interrupted(sub))
        return SSE_ECANCELED;
    sse__subscription_apply_id(sub);
    sse_err err = sse_parser_feed(sub->parser, bytes, n);
    if (!sub->undelivered)
        sse__subscription_publish_id(sub);
    return sub->sink_err != SSE_OK ? sub->sink_err : err;
}

static bool is_interrupted(void *user) { return sse__interrupted(user); }

const sse__transport_callbacks sse__session_callbacks = {
    .on_request = on_request,
    .on_response = on_response,
    .on_body = on_body,
    .interrupted = is_interrupted,
};

/* ---- One connection ---- */

/* Last-Event-ID as the last line, when there is an id. Returns SSE_ENOMEM. */
static sse_err update_id_line(sse_subscription *sub)
{
    static const char name[] = "Last-Event-ID: ";
    sse_str id = sse_parser_last_event_id(sub->parser);
    const char **slot = &sub->lines[sub->client->nlines];
    *slot = NULL;
    if (id.len == 0)
        return SSE_OK;
    size_t need = sizeof name + id.len;
    if (need > sub->id_line_cap) {
        char *grown = realloc(sub->id_line, need);
        if (!grown)
            return SSE_ENOMEM;
        sub->id_line = grown;
        sub->id_line_cap = need;
    }
    memcpy(sub->id_line, name, sizeof name - 1);
    memcpy(sub->id_line + sizeof name - 1, id.ptr, id.len);
    sub->id_line[need - 1] = '\0';
    *slot = sub->id_line;
    return SSE_OK;
}

static void connect_once(sse_subscription *sub, sse__result *result)
{
    sub->state = SSE_SUBSCRIPTION_CONNECTING;
    sub->opened = sub->delivered = sub->rejected_for_good = sub->undelivered = false;
    sub->sink_err = SSE_OK;
    sse__subscription_apply_id(sub);
    if (update_id_line(sub) != SSE_OK) {
        *result = (sse__result){.err = SSE_ENOMEM, .message = "no memory", .url = sub->url};
        return;
    }
    sse__log(logger_of(sub), SSE_LOG_DEBUG, "%s: connecting", sub->url);
    sse__request request = {
        .url = sub->url, .headers = sub->lines, .body = sub->client->options.body};
    sse__transport_perform(sub->transport, &request, result);
    if (sse_parser_reset(sub->parser))
        sse__log(logger_of(sub), SSE_LOG_DEBUG, "%s: an unfinished event is dropped", sub->url);
    /* The body has come to its end: for a stream that is the end of a connection like any other. */
    if (result->err == SSE_OK) {
        result->err = SSE_EEOF;
        result->message = sse_strerror(SSE_EEOF);
    }
}

static sse__outcome outcome_of(const sse_subscription *sub, const sse__result *result)
{
    sse__outcome o = {
        .err = result->err,
        .http_status = result->http_status,
        .retry_after_ms = sub->opened ? 0 : result->retry_after_ms,
        .lived_ms = sub->opened ? sse__now_ms() - sub->opened_ms : 0,
        .opened = sub->opened,
        .delivered = sub->delivered,
        .rejected_for_good = sub->rejected_for_good,
    };
    return o;
}

/* ---- Between connections ---- */

static sse__decision decide(sse_subscription *sub, sse_client_error *e, const sse__outcome *outcome)
{
    const sse_client_options *o = &sub->client->options;
    sse__decision d = sse__reconnect_next(&sub->reconnect, outcome, sse__random());
    e->attempt = sub->reconnect.attempts;
    if (!d.stop && o->next_delay && !o->next_delay(o->user, sub, e, &d.delay_ms)) {
        d.stop = true;
        d.why = SSE_EGAVEUP;
    }
    e->final = d.stop;
    return d;
}

static void report(sse_subscription *sub, const sse_client_error *e)
{
    char said[SSE__SENTENCE_SIZE];
    sse__sentence(e->body, said);
    sse__log(logger_of(sub), e->err == SSE_EEOF ? SSE_LOG_INFO : SSE_LOG_WARN, "%s: %s%s%s", e->url,
             e->message, *said ? ": " : "", said);
    if (sub->callbacks.on_error)
        sub->callbacks.on_error(sub->user, sub, e);
}

static void wait_for(sse_subscription *sub, const sse_client_error *e, uint64_t delay_ms)
{
    uint64_t now = sse__now_ms();
    uint64_t deadline = delay_ms < UINT64_MAX - now ? now + delay_ms : UINT64_MAX;
    sub->state = SSE_SUBSCRIPTION_WAITING;
    sse__log(logger_of(sub), SSE_LOG_DEBUG, "%s: next attempt in %llu ms", sub->url,
             (unsigned long long)delay_ms);
    if (sub->callbacks.on_retry)
        sub->callbacks.on_retry(sub->user, sub, e, delay_ms);
    sse__transport_wait(sub->transport, deadline);
}

/* The last step. */
static void finish(sse_subscription *sub, sse_client_error *e, sse_err why)
{
    e->err = why;
    e->final = true;
    if (why == SSE_ECANCELED)
        e->message = sse_strerror(why);
    sub->reason = (int)why;
    sub->state = SSE_SUBSCRIPTION_CLOSED;
    sse__log(logger_of(sub), SSE_LOG_INFO, "%s: closed: %s", sub->url, sse_strerror(why));
    if (sub->chan && !sub->keep_chan_open)
        sse_chan_close(sub->chan, why);
    if (sub->callbacks.on_close)
        sub->callbacks.on_close(sub->user, sub, e);
}

/* One turn of the life. Returns true when it was the last one. */
static bool connect_and_wait(sse_subscription *sub)
{
    sse__result result;
    char text[320];
    sub->again = false;
    connect_once(sub, &result);
    explain(&result, text, sizeof text);
    sse_client_error e = make_error(sub, &result);
    if (!sub->stop && result.err == SSE_ECANCELED && sub->again)
        return false;
    sse__decision d = {.stop = true, .why = SSE_ECANCELED};
    if (!sub->stop) {
        sse__outcome outcome = outcome_of(sub, &result);
        d = decide(sub, &e, &outcome);
    }
    if (!sub->stop)
        report(sub, &e);
    if (!sub->stop && !d.stop)
        wait_for(sub, &e, d.delay_ms);
    if (!sub->stop && !d.stop)
        return false;
    finish(sub, &e, sub->stop ? SSE_ECANCELED : d.why);
    return true;
}

void sse__session_run(sse_subscription *sub)
{
    sub->outer = running;
    running = sub;
    while (!connect_and_wait(sub))
        ;
    running = sub->outer;
}
