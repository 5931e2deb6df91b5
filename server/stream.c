/* Streams: what goes into the inbox, how a stream ends, its ids and gaps.
 *
 * Publishers fill the inbox under inbox_mu; the worker (worker.c) moves it to the log under mu;
 * subscribers (subscriber.c) read the log. A stream lives as long as somebody holds a reference:
 * the hub's table, the worker, each subscriber, a loop's queue, a running call. Invariant: an event
 * has its number (and so its id) from the moment that publish accepts it, and the log takes the
 * events in the order of their numbers. */
#include "stream.h"

#include "clock.h"
#include "hub.h"
#include "json.h"
#include "loop.h"
#include "msg.h"
#include "sized.h"
#include "subscriber.h"

#include <inttypes.h>
#include <sse/base64.h>
#include <stdio.h>
#include <stdlib.h>

/* What a slow subscriber may keep waiting, beside the history, at the least. */
#define BACKLOG_BYTES ((uint64_t)16 << 20)

/* Far beyond what makes sense, and far from where sums of them overflow. */
#define MAX_HISTORY_BYTES ((uint64_t)1 << 50)

/* Why the options are of no use; NULL: they are good. */
static const char *problem_of(const sse_stream_options *options)
{
    if ((unsigned)options->replay > SSE_REPLAY_NONE)
        return "replay is none of sse_replay";
    if ((unsigned)options->slow > SSE_SLOW_BLOCK)
        return "slow is none of sse_slow_policy";
    return options->history_bytes > MAX_HISTORY_BYTES ? "history_bytes is more than 2^50" : NULL;
}

static void fill(const sse_stream_options *options, sse__stream_config *config)
{
    *config = (sse__stream_config){0};
    config->inbox_events = options->ring_events ? options->ring_events : 1024;
    config->slow_grace_ms = options->slow_grace_ms ? options->slow_grace_ms : 250;
    config->replay = options->replay ? options->replay : SSE_REPLAY_ALL;
    config->slow = options->slow ? options->slow : SSE_SLOW_CLOSE;
    config->base64 = options->base64;
    sse__history_limits *limits = &config->limits;
    limits->history_events = options->history_events ? options->history_events : 1024;
    if (options->history_events == SSE_OFF || config->replay == SSE_REPLAY_NONE)
        limits->history_events = 0;
    limits->history_bytes = options->history_bytes ? options->history_bytes : (uint64_t)16 << 20;
    limits->backlog_events = config->inbox_events;
    limits->backlog_bytes =
        limits->history_bytes > BACKLOG_BYTES ? limits->history_bytes : BACKLOG_BYTES;
    limits->ttl_ms = options->event_ttl_ms;
}

bool sse__stream_configure(const sse_stream_options *options, const sse_logger *logger,
                           sse__stream_config *config)
{
    sse_stream_options all = SSE_STREAM_OPTIONS_INIT;
    const char *problem = !options || sse__copy_sized(&all, sizeof all, options)
                              ? problem_of(&all)
                              : "their size is not set, as SSE_STREAM_OPTIONS_INIT does";
    if (problem)
        sse__log(logger, SSE_LOG_ERROR, "options of a stream: %s", problem);
    else
        fill(&all, config);
    return !problem;
}

sse_err sse__stream_new(sse_server *hub, const char *name, const sse__stream_config *config,
                        sse__stream **out)
{
    size_t len = strlen(name);
    sse__stream *st = calloc(1, sizeof *st + len + 1);
    if (!st)
        return SSE_ENOMEM;
    memcpy(st->name, name, len + 1);
    st->node.key = st->name;
    st->hub = sse__hub_ref(hub);
    /* The server's own part is random, so a restart never comes back to an epoch that was used
     * before. */
    st->epoch = atomic_fetch_add(&hub->epoch, 1) & UINT64_C(0xffffffffffff);
    st->config = *config;
    atomic_init(&st->refs, 1);
    sse__mutex_init(&st->inbox_mu, SSE__RANK_INBOX);
    sse__cond_init(&st->room);
    sse__gate_init(&st->work);
    sse__ring_init(&st->inbox, config->inbox_events);
    st->next_seq = 1;
    st->active_ms = sse__now_ms();
    sse__mutex_init(&st->mu, SSE__RANK_STREAM);
    sse__cond_init(&st->progress);
    sse__history_init(&st->log, 1);
    sse__hub_stream_born(hub, st);
    *out = st;
    return SSE_OK;
}

sse__stream *sse__stream_ref(sse__stream *st)
{
    atomic_fetch_add(&st->refs, 1);
    return st;
}

void sse__stream_unref(sse__stream *st)
{
    if (!st || atomic_fetch_sub(&st->refs, 1) != 1)
        return;
    sse_server *hub = st->hub;
    sse__hub_stream_dead(hub, st);
    for (sse_msg *msg; (msg = sse__ring_pop(&st->inbox));)
        sse_msg_unref(msg);
    sse__ring_fini(&st->inbox);
    sse__history_fini(&st->log);
    for (sse__group *group = st->groups, *next; group; group = next) {
        next = group->next;
        free(group);
    }
    sse__cond_fini(&st->room);
    sse__gate_fini(&st->work);
    sse__cond_fini(&st->progress);
    sse__mutex_fini(&st->inbox_mu);
    sse__mutex_fini(&st->mu);
    free(st);
    sse__hub_unref(hub);
}

/* ---- publishing ---- */

uint64_t sse__stream_msg_bytes(const sse_msg *msg)
{
    const sse_event *event = sse_msg_event(msg);
    return (uint64_t)event->id.len + event->type.len + event->data.len + event->comment.len;
}

/* Wait until n of so many bytes fit; into an empty inbox any number of bytes does. */
static sse_err reserve_locked(sse__stream *st, size_t n, uint64_t bytes, bool block)
{
    for (;;) {
        if (st->closed)
            return SSE_ECLOSED;
        sse_err err = sse__ring_reserve(&st->inbox, n);
        if (err == SSE_OK && st->inbox_bytes > 0 &&
            st->inbox_bytes + bytes > st->config.limits.backlog_bytes)
            err = SSE_EFULL;
        if (err != SSE_EFULL || !block)
            return err;
        st->publishers_waiting++;
        sse__cond_wait(&st->room, &st->inbox_mu);
        st->publishers_waiting--;
    }
}

static sse_err publish_locked(sse__stream *st, sse_msg **msgs, size_t n, bool block,
                              uint64_t *first_seq)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += sse__stream_msg_bytes(msgs[i]);
    sse_err err = reserve_locked(st, n, bytes, block);
    if (err == SSE_OK)
        err = sse__worker_start_locked(st);
    if (err != SSE_OK)
        return err;
    uint64_t now_ns = sse__now_ns();
    for (size_t i = 0; i < n && err == SSE_OK; i++) {
        sse__msg_set_time(msgs[i], now_ns);
        err = sse__ring_push(&st->inbox, sse_msg_ref(msgs[i])); /* cannot fail: reserved */
    }
    *first_seq = st->next_seq;
    st->next_seq += n;
    st->published += n;
    st->inbox_bytes += bytes;
    st->active_ms = now_ns / 1000000u;
    return err;
}

/* True: the caller has to open the gate when it has let go of inbox_mu. The worker would only wait for inbox_mu before. */
static bool rouse_worker_locked(sse__stream *st)
{
    bool sleeps = st->worker_sleeps;
    st->worker_sleeps = false;
    return sleeps;
}

sse_err sse__stream_publish(sse__stream *st, sse_msg **msgs, size_t n, bool block,
                            uint64_t *first_seq)
{
    sse__mutex_lock(&st->inbox_mu);
    sse_err err = publish_locked(st, msgs, n, block, first_seq);
    bool rouse = err == SSE_OK && rouse_worker_locked(st);
    sse__mutex_unlock(&st->inbox_mu);
    if (rouse)
        sse__gate_open(&st->work);
    return err;
}

/* ---- the end ---- */

void sse__stream_wake_locked(sse__stream *st)
{
    sse__mutex_assert_held(&st->mu);
    for (sse__group *group = st->groups; group; group = group->next)
        if (group->subs)
            sse__loop_wake_group(group);
}

void sse__stream_end(sse__stream *st)
{
    sse__mutex_lock(&st->mu);
    st->ended = true;
    sse__stream_wake_locked(st);
    sse__mutex_unlock(&st->mu);
}

void sse__stream_close(sse__stream *st, sse_leave_reason reason)
{
    sse__mutex_lock(&st->inbox_mu);
    bool first = !st->closed;
    bool worker = st->worker;
    if (first) {
        sse__mutex_lock(&st->mu);
        st->end_reason = reason;
        sse__stream_wake_locked(st); /* the time that the subscribers have begins */
        sse__mutex_unlock(&st->mu);
    }
    st->closed = true;
    sse__cond_broadcast(&st->room);
    bool rouse = rouse_worker_locked(st);
    sse__mutex_unlock(&st->inbox_mu);
    if (rouse)
        sse__gate_open(&st->work);
    /* Without a worker nothing is left to be done: a worker goes only when the inbox is empty. */
    if (first && !worker)
        sse__stream_end(st);
}

void sse__stream_force(sse__stream *st, const struct sse__loop *loop)
{
    sse__mutex_lock(&st->mu);
    for (sse__group *group = st->groups; group; group = group->next)
        if (!loop || group->loop == loop)
            for (sse__sub *sub = group->subs; sub; sub = sub->next)
                sse__sub_cut_locked(sub, st->end_reason ? st->end_reason : SSE_LEFT_ERROR);
    sse__stream_wake_locked(st);
    sse__cond_signal(&st->progress);
    sse__mutex_unlock(&st->mu);
}

/* ---- ids and gaps ---- */

/* "%012x-%u", by hand: it is done for each event. */
void sse__stream_format_id(const sse__stream *st, uint64_t seq, char out[SSE__ID_MAX])
{
    char digits[20];
    size_t n = 0;
    for (int i = 0; i < 12; i++)
        out[i] = "0123456789abcdef"[st->epoch >> (44 - 4 * i) & 15];
    out[12] = '-';
    do {
        digits[n++] = (char)('0' + seq % 10);
        seq /= 10;
    } while (seq > 0);
    for (char *at = out + 13; n > 0; *at = '\0')
        *at++ = digits[--n];
}

bool sse__stream_parse_id(const sse__stream *st, sse_str id, uint64_t *seq)
{
    char prefix[SSE__ID_MAX];
    int n = snprintf(prefix, sizeof prefix, "%012" PRIx64 "-", st->epoch);
    size_t len = (size_t)n;
    if (id.len <= len || id.len > len + 19 || memcmp(id.ptr, prefix, len) != 0)
        return false;
    uint64_t value = 0;
    for (size_t i = len; i < id.len; i++) {
        if (id.ptr[i] < '0' || id.ptr[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(id.ptr[i] - '0');
    }
    *seq = value;
    return true;
}

/* The id of the event with this number, as subscribers know it: the publisher's, or the position.
 */
static void id_of_locked(const sse__stream *st, uint64_t seq, sse__text *out)
{
    const sse__frame *frame = sse__history_frame(&st->log, seq);
    char position[SSE__ID_MAX];
    sse_str id = frame ? sse__frame_id(frame) : (sse_str){0};
    if (id.len == 0) {
        sse__stream_format_id(st, seq, position);
        id = sse_cstr(position);
    }
    sse__text_json(out, id.ptr, id.len);
}

sse_err sse__stream_base64(sse_event *event, char **buffer)
{
    size_t size = sse_base64_encoded_size(event->data.len);
    *buffer = malloc(size ? size : 1);
    if (!*buffer)
        return SSE_ENOMEM;
    sse_base64_encode(event->data.ptr, event->data.len, *buffer);
    event->data = (sse_str){*buffer, size};
    return SSE_OK;
}

sse__frame *sse__stream_gap_locked(sse__stream *st, sse_str requested, uint64_t missed,
                                   uint64_t next)
{
    sse__text text = {0};
    sse__text_add(&text, "{\"requested\":");
    if (requested.ptr)
        sse__text_json(&text, requested.ptr, requested.len);
    else
        sse__text_add(&text, "null");
    sse__text_add(&text, ",\"oldest\":");
    if (next >= st->log.first && next < st->log.end)
        id_of_locked(st, next, &text);
    else
        sse__text_add(&text, "null");
    if (missed == UINT64_MAX)
        sse__text_add(&text, ",\"missed\":null}");
    else
        sse__text_addf(&text, ",\"missed\":%" PRIu64 "}", missed);

    /* Its id is the position before the next event: who resumes from here has not lost more than
     * this. */
    char id[SSE__ID_MAX];
    sse__stream_format_id(st, next - 1, id);
    sse_event event = {.type = sse_cstr("gap"), .data = {text.ptr, text.len}};
    sse__frame *frame = NULL;
    char *buffer = NULL;
    sse_err err = text.failed ? SSE_ENOMEM : SSE_OK;
    if (err == SSE_OK && st->config.base64)
        err = sse__stream_base64(&event, &buffer);
    if (err == SSE_OK && sse__frame_new(&event, sse_cstr(id), &frame) == SSE_OK)
        st->counters.gaps++;
    free(buffer);
    sse__text_fini(&text);
    return frame;
}

/* ---- statistics ---- */

static void id_for_stats_locked(const sse__stream *st, uint64_t seq, char *out, size_t size)
{
    const sse__frame *frame = sse__history_frame(&st->log, seq);
    if (!frame)
        return;
    sse_str id = sse__frame_id(frame);
    size_t n = id.len < size - 1 ? id.len : size - 1;
    memcpy(out, id.ptr, n);
    out[n] = '\0';
    if (n == 0) {
        char position[SSE__ID_MAX];
        sse__stream_format_id(st, seq, position);
        snprintf(out, size, "%s", position);
    }
}

void sse__stream_get_stats(sse__stream *st, sse_stream_stats *out)
{
    *out = (sse_stream_stats){0};
    sse__mutex_lock(&st->inbox_mu);
    out->published = st->published;
    out->queued = st->inbox.count + st->taken_count;
    sse__mutex_unlock(&st->inbox_mu);

    sse__mutex_lock(&st->mu);
    sse__history_expire(&st->log, &st->config.limits, sse__now_ms());
    out->subscribers = st->nsubs;
    out->backlog = st->log.visible - st->log.first;
    out->history = st->log.end - st->log.visible;
    out->history_bytes = st->log.visible_bytes;
    out->bytes_in = st->counters.bytes_in;
    out->bytes_out = st->counters.bytes_out;
    out->delivered = st->counters.delivered;
    out->dropped = st->counters.dropped;
    out->slow_closed = st->counters.slow_closed;
    out->gaps = st->counters.gaps;
    out->replayed = st->counters.replayed;
    if (out->history > 0) {
        id_for_stats_locked(st, st->log.visible, out->oldest_id, sizeof out->oldest_id);
        id_for_stats_locked(st, st->log.end - 1, out->newest_id, sizeof out->newest_id);
    }
    sse__mutex_unlock(&st->mu);
}
