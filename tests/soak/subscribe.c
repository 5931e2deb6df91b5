/* The subscribers of a soak, in one process, so that a leak of the client's shows:
 *
 * - those that stay, by the library: every stream, with a client and callbacks of their own;
 * - those that come and go, by the library: a client, a channel, some events, gone again;
 * - wanderers, which speak HTTP themselves: they leave and resume with their last id, and must have every event once;
 * - slow ones, which read now and then: what they lose, gaps announce.
 *
 * A follower is used by one thread at a time. Threads end when those that stay have seen the end of their streams. */
#include "soak.h"

#include "../support/http.h"
#include "wait.h"

#include <pthread.h>
#include <sse/client.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STAYING = 4, WANDERERS = 8, SLOW = 8, PASSERS = 3, DEADLINE_MS = 60000 };

typedef struct follower {
    const char *what, *stream;
    uint16_t port;
    bool loses;       /* gaps with a number are no fault */
    bool dies;        /* its server restarts: gaps without a number are none either */
    bool from_middle; /* its first event may be any */
    bool started, after_gap;
    uint64_t next, delivered, missed, gaps;
    char last[64];
    sse_client *client;
    sse_subscription *sub;
    atomic_bool ended;
} follower;

static uint16_t hub_port, phoenix_port;
static atomic_bool all_ended;
static atomic_uint faults;
static _Atomic uint64_t delivered, passed, slow_missed;

static void fault(const follower *f, const char *what, const char *data)
{
    if (atomic_fetch_add(&faults, 1) < 20)
        fprintf(stderr, "soak: %s on %s: %s: %.60s, expected %llu\n", f->what, f->stream, what,
                data, (unsigned long long)f->next);
}

/* ---- what must come ---- */

static void take_gap(follower *f, const char *data)
{
    const char *missed = strstr(data, "\"missed\":");
    bool unknown = !missed || strncmp(missed + 9, "null", 4) == 0;
    uint64_t n = unknown ? 0 : strtoull(missed + 9, NULL, 10);
    f->gaps++;
    f->missed += n;
    f->next += n;
    f->after_gap = f->after_gap || unknown;
    if (unknown ? !f->dies : !f->loses && !f->dies)
        fault(f, "a gap", data);
}

static void take(follower *f, const char *type, const char *id, const char *data)
{
    snprintf(f->last, sizeof f->last, "%s", id);
    if (strcmp(type, "gap") == 0) {
        take_gap(f, data);
        return;
    }
    uint64_t number = strtoull(data, NULL, 10);
    bool free = f->after_gap || (f->from_middle && !f->started);
    if (free ? number < f->next : number != f->next)
        fault(f, "order", data);
    f->started = true;
    f->after_gap = false;
    f->next = number + 1;
    f->delivered++;
    atomic_fetch_add(&delivered, 1);
    if (strcmp(type, "end") == 0)
        atomic_store(&f->ended, true);
}

static const char *text_of(char *buf, size_t size, sse_str s)
{
    snprintf(buf, size, "%.*s", (int)(s.len < size ? s.len : size - 1), s.ptr ? s.ptr : "");
    return buf;
}

static void take_event(follower *f, const sse_event *event)
{
    char type[16], id[64], data[256];
    take(f, text_of(type, sizeof type, event->type), text_of(id, sizeof id, event->id),
         text_of(data, sizeof data, event->data));
}

static const char *url_of(const follower *f)
{
    static _Thread_local char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/events", f->port);
    return url;
}

static sse_client_options client_options(void)
{
    sse_client_options options = SSE_CLIENT_OPTIONS_INIT;
    options.retry_ms = 50;
    options.max_retry_ms = 500;
    options.idle_timeout_ms = 20000;
    return options;
}

/* ---- those that stay ---- */

static void on_event(void *user, sse_subscription *sub, const sse_event *event)
{
    (void)sub;
    take_event(user, event);
}

static bool stay(follower *f)
{
    sse_client_options options = client_options();
    sse_client_callbacks callbacks = SSE_CLIENT_CALLBACKS_INIT;
    callbacks.on_event = on_event;
    return sse_client_new(url_of(f), &options, &f->client) == SSE_OK &&
           sse_client_subscribe_start(f->client, f->stream, &callbacks, f, &f->sub) == SSE_OK;
}

/* ---- those that come and go ---- */

static const char *const passing[] = {STREAM_FAST,  STREAM_MEDIUM,  STREAM_BIG,
                                      STREAM_BURST, STREAM_PHOENIX, "auto7"};

static void pass_by(uint64_t *random)
{
    const char *stream = passing[soak_draw(random, 6)];
    bool dies = strcmp(stream, STREAM_PHOENIX) == 0;
    bool numbered = strncmp(stream, "auto", 4) != 0;
    follower f = {.what = "passer",
                  .stream = stream,
                  .port = dies ? phoenix_port : hub_port,
                  .dies = dies,
                  .from_middle = true};
    sse_client_options options = client_options();
    sse_chan *chan = NULL;
    if (sse_client_new(url_of(&f), &options, &f.client) != SSE_OK ||
        sse_chan_new(NULL, &chan) != SSE_OK ||
        sse_client_subscribe_chan(f.client, stream, chan, &f.sub) != SSE_OK) {
        fault(&f, "cannot subscribe", "");
    } else {
        sse_msg *msg;
        for (uint64_t left = soak_draw(random, 300); left > 0; left--) {
            if (sse_chan_recv_timeout(chan, 1000, &msg) != SSE_OK)
                break;
            if (numbered)
                take_event(&f, sse_msg_event(msg));
            sse_msg_unref(msg);
        }
    }
    sse_subscription_free(f.sub);
    sse_chan_unref(chan);
    sse_client_free(f.client);
    atomic_fetch_add(&passed, 1);
}

static void *passer_main(void *arg)
{
    uint64_t random = (uintptr_t)arg;
    while (!atomic_load(&all_ended))
        pass_by(&random);
    return NULL;
}

/* ---- those with an HTTP of their own ---- */

static http_conn *open_stream(const follower *f)
{
    char target[64], header[96] = "";
    snprintf(target, sizeof target, "/events?stream=%s", f->stream);
    if (f->last[0])
        snprintf(header, sizeof header, "Last-Event-ID: %s\r\n", f->last);
    return http_open_stream(f->port, target, header, NULL, DEADLINE_MS);
}

/* The next event, if it comes in time. */
static http_result take_next(follower *f, http_conn *c, int timeout_ms)
{
    http_block block;
    http_result result = http_next_event(c, &block, timeout_ms);
    if (result != HTTP_OK)
        return result;
    take(f, block.type ? block.type : "", block.id ? block.id : "", block.data);
    http_block_fini(&block);
    return HTTP_OK;
}

static void *wanderer_main(void *arg)
{
    follower f = {.what = "wanderer", .stream = STREAM_FAST, .port = hub_port, .from_middle = true};
    uint64_t random = (uintptr_t)arg;
    while (!f.ended) {
        http_conn *c = open_stream(&f);
        if (!c) {
            fault(&f, "no stream", "");
            return NULL;
        }
        for (uint64_t left = 1 + soak_draw(&random, 300); left > 0 && !f.ended; left--)
            if (take_next(&f, c, DEADLINE_MS) != HTTP_OK) {
                fault(&f, "the stream ended", "");
                left = 1;
            }
        if (soak_draw(&random, 2))
            http_close(c);
        else
            http_reset(c);
    }
    return NULL;
}

/* Reads for a moment every two seconds. */
static void *slow_main(void *arg)
{
    (void)arg;
    follower f = {.what = "slow one",
                  .stream = STREAM_SLOW,
                  .port = hub_port,
                  .from_middle = true,
                  .loses = true};
    http_conn *c = open_stream(&f);
    int clock = soak_clock(2000);
    http_result result = HTTP_OK;
    if (!c)
        fault(&f, "no stream", "");
    while (c && !f.ended && (result == HTTP_OK || result == HTTP_TIMEOUT)) {
        if (!atomic_load(&all_ended))
            soak_tick(clock);
        for (int left = 30; left > 0 && !f.ended && (result = take_next(&f, c, 500)) == HTTP_OK;
             left--)
            ;
    }
    if (!f.ended)
        fault(&f, "the stream ended", "");
    atomic_fetch_add(&slow_missed, f.missed);
    http_close(c);
    return NULL;
}

/* ---- all of them ---- */

static bool has_ended(void *arg) { return atomic_load(&((follower *)arg)->ended); }

static void start_threads(pthread_t *threads, void *(*run)(void *), size_t n)
{
    for (uintptr_t i = 0; i < n; i++)
        if (pthread_create(&threads[i], NULL, run, (void *)(i + 1)) != 0)
            abort();
}

static void join(pthread_t *threads, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
}

static void report(const follower *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        printf("%s: %llu events, %llu gaps, %llu announced as missed\n", list[i].stream,
               (unsigned long long)list[i].delivered, (unsigned long long)list[i].gaps,
               (unsigned long long)list[i].missed);
    printf("slow ones: %llu announced as missed\n", (unsigned long long)slow_missed);
    printf("received %llu events, %llu came and went, %u faults\n", (unsigned long long)delivered,
           (unsigned long long)passed, atomic_load(&faults));
}

int soak_subscribe(uint16_t hub, uint16_t phoenix)
{
    static const char *const streams[STAYING] = {STREAM_FAST, STREAM_MEDIUM, STREAM_BIG,
                                                 STREAM_BURST};
    static follower staying[STAYING + 1];
    pthread_t passers[PASSERS], wanderers[WANDERERS], slow[SLOW];
    hub_port = hub;
    phoenix_port = phoenix;
    for (size_t i = 0; i < STAYING; i++)
        staying[i] =
            (follower){.what = "staying", .stream = streams[i], .port = hub, .from_middle = true};
    staying[STAYING] = (follower){.what = "staying",
                                  .stream = STREAM_PHOENIX,
                                  .port = phoenix,
                                  .dies = true,
                                  .from_middle = true};
    for (size_t i = 0; i <= STAYING; i++)
        if (!stay(&staying[i]))
            abort();
    start_threads(passers, passer_main, PASSERS);
    start_threads(wanderers, wanderer_main, WANDERERS);
    start_threads(slow, slow_main, SLOW);
    puts("subscribed");
    fflush(stdout);
    for (size_t i = 0; i <= STAYING; i++)
        while (!wait_until(has_ended, &staying[i], DEADLINE_MS))
            ; /* the script says how long this may take */
    atomic_store(&all_ended, true);
    join(passers, PASSERS);
    join(wanderers, WANDERERS);
    join(slow, SLOW);
    for (size_t i = 0; i <= STAYING; i++) {
        sse_subscription_free(staying[i].sub);
        sse_client_free(staying[i].client);
    }
    report(staying, STAYING + 1);
    return atomic_load(&faults) == 0 ? 0 : 1;
}
