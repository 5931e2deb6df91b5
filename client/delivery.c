/* From the parser to the user: callbacks or channel, base64. Runs on the subscription's thread,
 * inside sse_parser_feed().
 *
 * Whether the subscription was interrupted is asked after each callback of the user's, not before:
 * the id of an event takes effect in the parser before the event itself comes, and an event must
 * not be dropped between the two, or a later resumption would skip it. */
#include "chan.h"
#include "logger.h"
#include "subscription.h"

#include <sse/base64.h>
#include <stdlib.h>

static bool decode(sse_subscription *sub, const sse_event *event, sse_event *out)
{
    size_t room = sse_base64_decoded_size(event->data.len);
    if (room > sub->decoded_cap || !sub->decoded) {
        char *grown = realloc(sub->decoded, room + 1);
        if (!grown) {
            sse__session_lost(sub, SSE_ENOMEM, "no memory to decode an event");
            return false;
        }
        sub->decoded = grown;
        sub->decoded_cap = room;
    }
    *out = *event;
    size_t len = 0;
    sse_err err = sse_base64_decode(event->data.ptr, event->data.len, sub->decoded, &len);
    if (err != SSE_OK) {
        sse__session_lost(sub, err, "an event's data is not base64; the event is dropped");
        return false;
    }
    out->data = (sse_str){sub->decoded, len};
    return true;
}

/* The server takes names of up to 512 bytes. */
#define STREAM_NAME_MAX 512

/* Returns what the parser's callback does: anything but 0 stops the parser. */
static int send(sse_subscription *sub, const sse_event *event)
{
    sse_msg *msg = NULL;
    char name[STREAM_NAME_MAX + 1];
    const char *stream = sub->stream;
    if (sub->together && sse_event_stream(event, name, sizeof name) > 0)
        stream = name;
    sse_err err = sse_msg_new(event, stream, &msg);
    if (err == SSE_OK)
        err = sse__chan_send_unless(sub->chan, msg, &sub->stop);
    sse_msg_unref(msg);
    if (err == SSE_ENOMEM) {
        /* The stream goes on: to end it here would lose the event without a word, because the next
         * connection resumes behind it. */
        sse__session_lost(sub, err, "no memory for an event");
        return sse__interrupted(sub);
    }
    if (err != SSE_OK) {
        sub->undelivered = true;
        sub->sink_err = err;
        return 1;
    }
    sse__subscription_publish_id(sub);
    return sse__interrupted(sub);
}

static int on_event(void *user, const sse_event *event)
{
    sse_subscription *sub = user;
    sse_event decoded;
    sub->delivered = true;
    if (sub->client->options.base64) {
        if (!decode(sub, event, &decoded))
            return sse__interrupted(sub);
        event = &decoded;
    }
    if (sub->chan)
        return send(sub, event);
    if (sub->callbacks.on_event)
        sub->callbacks.on_event(sub->user, sub, event);
    return sse__interrupted(sub);
}

static int on_comment(void *user, sse_str comment)
{
    sse_subscription *sub = user;
    if (!sub->callbacks.on_comment)
        return 0;
    sub->callbacks.on_comment(sub->user, sub, comment);
    return sse__interrupted(sub);
}

static int on_retry(void *user, uint64_t ms)
{
    sse_subscription *sub = user;
    sse__reconnect_server_retry(&sub->reconnect, ms);
    return 0;
}

static int on_id(void *user, sse_str id)
{
    sse_subscription *sub = user;
    (void)id;
    sub->id_pending = false; /* newer than what the user has set */
    return 0;
}

static int on_problem(void *user, sse_err err, uint64_t line, const char *what)
{
    sse_subscription *sub = user;
    const sse_logger *logger = &sub->client->options.logger;
    if (err == SSE_EINVAL) {
        if (sse__log_wants(logger, SSE_LOG_DEBUG))
            sse__log(logger, SSE_LOG_DEBUG, "%s: line %llu: %s", sub->url, (unsigned long long)line,
                     what);
        return 0;
    }
    sse__session_lost(sub, err, what);
    return sse__interrupted(sub);
}

const sse_parser_callbacks sse__delivery_callbacks = {
    .size = sizeof sse__delivery_callbacks,
    .on_event = on_event,
    .on_comment = on_comment,
    .on_retry = on_retry,
    .on_id = on_id,
    .on_problem = on_problem,
};
