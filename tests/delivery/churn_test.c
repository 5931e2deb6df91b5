/* 100 streams, each fed by eight publishers at once, while subscribers come and go: each resumes with the id of the last event that
 * it took, whatever else was on its way. With enough history nobody loses, repeats or reorders anything; with too little, gaps say
 * exactly what is missing. In one process, through the library.
 *
 * Half of the subscribers speak HTTP themselves and leave with FIN or RST, in the middle of what they were sent; the others are
 * clients of the library that reconnect inside their callbacks. Publishers stay a window ahead of the fastest subscriber of a
 * stream, so that all of this happens at the same time; nothing else is a matter of time. */
#include "../server/fixture.h"
#include "cert.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <pthread.h>
#include <sse/client.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "scale.h"

enum {
    STREAMS = 100,
    PUBLISHERS = 8,
    EACH = SCALED(100, 20),
    PER_STREAM = PUBLISHERS * EACH,
    LIVES = 8,
    WINDOW = 128
};
enum { FOLLOWERS = SCALED(3, 2) * STREAMS };
enum {
    AWAY = 64 /* events that the first absence lasts, when the history is too small for them */
};

typedef struct follower {
    const struct run *run;
    int stream;
    unsigned number;
    uint64_t random; /* state */
    pthread_t thread;
    sse_client *client;
    sse_subscription *sub;
    uint64_t next; /* number, in the stream, of the event that should come */
    uint64_t seen[PUBLISHERS];
    uint64_t delivered, missed, gaps, lives, left_in_life;
    bool gap_before; /* some publishers' events may be missing */
    char last[64];
    atomic_bool done;
    char wrong[192]; /* valid when done */
} follower;

typedef struct run {
    sse_server *server;
    uint16_t port;
    bool small; /* history */
    char url[64];
    char authority[256]; /* over TLS, of the server's certificate */
    _Atomic uint64_t fastest[STREAMS];
} run;

static run now;

static const char *stream_name(int stream)
{
    static _Thread_local char name[16];
    snprintf(name, sizeof name, "s%d", stream);
    return name;
}

static uint64_t draw(follower *f, uint64_t below)
{
    f->random = f->random * 6364136223846793005u + 1442695040888963407u;
    return (f->random >> 33) % below;
}

/* ---- publishers ---- */

static bool somebody_is_near(void *arg)
{
    const uint64_t *at = arg; /* stream, event of this publisher */
    return atomic_load(&now.fastest[at[0]]) + WINDOW >= at[1] * PUBLISHERS;
}

/* Event k of each stream, before event k + 1 of any. Returns NULL, or why it failed. */
static void *publisher_main(void *arg)
{
    uint64_t number = (uint64_t)(uintptr_t)arg;
    for (uint64_t k = 0; k < EACH; k++)
        for (uint64_t stream = 0; stream < STREAMS; stream++) {
            uint64_t at[] = {stream, k};
            char data[48];
            if (!wait_until(somebody_is_near, at, LONG))
                return "nobody has received what was published";
            int n = snprintf(data, sizeof data, "%" PRIu64 ":%" PRIu64, number, k);
            sse_event event = {.data = {data, (size_t)n}};
            if (sse_server_publish(now.server, stream_name((int)stream), &event) != SSE_OK)
                return "publish fails";
        }
    return NULL;
}

/* ---- what a subscriber must receive ---- */

static void complain(follower *f, const char *what, const char *id, const char *data)
{
    if (!f->wrong[0])
        snprintf(f->wrong, sizeof f->wrong, "s%d #%u: %s: id %.40s data %.60s, expected %" PRIu64,
                 f->stream, f->number, what, id, data, f->next);
}

static void take_gap(follower *f, const char *id, const char *data)
{
    const char *missed = strstr(data, "\"missed\":");
    uint64_t n = missed ? strtoull(missed + 9, NULL, 10) : 0;
    if (!now.small || n == 0)
        complain(f, "gap", id, data);
    f->gaps++;
    f->missed += n;
    f->next += n;
    f->gap_before = true;
}

/* Returns whether the subscriber is to go on. */
static bool take(follower *f, const char *type, const char *id, const char *data)
{
    const char *dash = strrchr(id, '-');
    uint64_t seq = dash ? strtoull(dash + 1, NULL, 10) : 0;
    snprintf(f->last, sizeof f->last, "%s", id);
    if (type && strcmp(type, "gap") == 0) {
        take_gap(f, id, data);
        if (seq + 1 != f->next)
            complain(f, "position of a gap", id, data);
        return !f->wrong[0];
    }
    uint64_t publisher = strtoull(data, NULL, 10), k = 0;
    const char *colon = strchr(data, ':');
    if (colon)
        k = strtoull(colon + 1, NULL, 10);
    if (seq != f->next)
        complain(f, "order", id, data);
    else if (!colon || publisher >= PUBLISHERS ||
             (f->gap_before ? k < f->seen[publisher] : k != f->seen[publisher]))
        complain(f, "publisher's order", id, data);
    if (f->wrong[0])
        return false;
    f->seen[publisher] = k + 1;
    f->delivered++;
    f->next++;
    uint64_t fastest = atomic_load(&now.fastest[f->stream]);
    while (fastest < f->next &&
           !atomic_compare_exchange_weak(&now.fastest[f->stream], &fastest, f->next))
        ;
    return f->next <= PER_STREAM;
}

/* How many events the life that begins now takes, the last one all that are left. */
static void begin_life(follower *f)
{
    f->lives++;
    f->left_in_life = f->lives < LIVES ? 1 + draw(f, PER_STREAM / LIVES) : UINT64_MAX;
}

static bool is_further(void *arg)
{
    const follower *f = arg;
    sse_stream_stats stats;
    return sse_server_stream_stats(now.server, stream_name(f->stream), &stats) == SSE_OK &&
           stats.published >= f->next + AWAY && stats.queued == 0;
}

/* With the small history the first absence lasts so long that something is missing afterwards. */
static void stay_away(follower *f)
{
    if (now.small && f->lives == 1 && !wait_until(is_further, f, LONG))
        complain(f, "no events while away", "", "");
}

/* ---- subscribers with an HTTP of their own ---- */

static http_conn *come(const follower *f)
{
    char target[64], header[96] = "";
    snprintf(target, sizeof target, "/events?stream=%s", stream_name(f->stream));
    if (f->last[0])
        snprintf(header, sizeof header, "Last-Event-ID: %s\r\n", f->last);
    return http_open_stream(now.port, target, header, NULL, LONG);
}

/* One connection. Returns false when all is done, or something is wrong. */
static bool live(follower *f)
{
    http_conn *c = come(f);
    http_result result = HTTP_OK;
    bool more = true;
    if (!c) {
        complain(f, "no stream", "", "");
        return false;
    }
    begin_life(f);
    for (; more && f->left_in_life > 0; f->left_in_life--) {
        http_block block;
        result = http_next_event(c, &block, LONG);
        if (result != HTTP_OK)
            break;
        more = take(f, block.type, block.id ? block.id : "", block.data);
        http_block_fini(&block);
    }
    if (draw(f, 2))
        http_reset(c);
    else
        http_close(c);
    /* A small ring may have closed it as slow; with the large one nothing ends it. */
    if (result == HTTP_TIMEOUT || (result != HTTP_OK && !now.small)) {
        complain(f, "the stream ended", f->last, "");
        return false;
    }
    stay_away(f);
    return more;
}

static void *follower_main(void *arg)
{
    follower *f = arg;
    while (!f->wrong[0] && live(f))
        ;
    atomic_store(&f->done, true);
    return NULL;
}

/* ---- subscribers of the library ---- */

static const char *copy_text(char *buf, size_t size, sse_str s)
{
    snprintf(buf, size, "%.*s", (int)s.len, s.ptr ? s.ptr : "");
    return buf;
}

static void on_event(void *user, sse_subscription *sub, const sse_event *event)
{
    follower *f = user;
    char type[16], id[64], data[256];
    bool more =
        take(f, copy_text(type, sizeof type, event->type), copy_text(id, sizeof id, event->id),
             copy_text(data, sizeof data, event->data));
    if (!more) {
        sse_subscription_close(sub);
        atomic_store(&f->done, true);
    } else if (--f->left_in_life == 0) {
        stay_away(f);
        begin_life(f);
        sse_subscription_reconnect(sub);
    }
}

static void on_error(void *user, sse_subscription *sub, const sse_client_error *error)
{
    follower *f = user;
    if (now.small && !error->final) /* closed as slow */
        return;
    complain(f, error->message, f->last, "");
    sse_subscription_close(sub);
    atomic_store(&f->done, true);
}

static void start_client(follower *f)
{
    sse_client_options options = SSE_CLIENT_OPTIONS_INIT;
    sse_client_callbacks callbacks = SSE_CLIENT_CALLBACKS_INIT;
    options.retry_ms = 1;
    options.max_retry_ms = 10;
    options.cacert = now.authority[0] ? now.authority : NULL;
    callbacks.on_event = on_event;
    callbacks.on_error = on_error;
    begin_life(f);
    cr_assert_eq(sse_client_new(now.url, &options, &f->client), SSE_OK);
    cr_assert_eq(
        sse_client_subscribe_start(f->client, stream_name(f->stream), &callbacks, f, &f->sub),
        SSE_OK);
}

/* ---- the run ---- */

static void start(follower *f, unsigned number)
{
    *f = (follower){.run = &now,
                    .stream = (int)(number % STREAMS),
                    .number = number,
                    .random = number,
                    .next = 1};
    if (number / STREAMS % 2 == 0)
        cr_assert_eq(pthread_create(&f->thread, NULL, follower_main, f), 0);
    else
        start_client(f);
}

static bool is_done(void *arg) { return atomic_load(&((follower *)arg)->done); }

static void end(follower *f)
{
    bool in_time = wait_until(is_done, f, LONG);
    if (!in_time)
        cr_assert_fail("subscriber %u is at %" PRIu64 " of %d", f->number, f->next, PER_STREAM);
    if (f->client) {
        sse_subscription_free(f->sub);
        sse_client_free(f->client);
    } else {
        pthread_join(f->thread, NULL);
    }
    cr_assert_str_eq(f->wrong, "");
    cr_assert_eq(f->delivered + f->missed, PER_STREAM, "%" PRIu64 " and %" PRIu64, f->delivered,
                 f->missed);
    cr_assert_geq(f->lives, 2);
}

static void set_up(bool small)
{
    struct rlimit limit;
    sse_stream_options stream = SSE_STREAM_OPTIONS_INIT;
    stream.history_events = small ? 8 : PER_STREAM;
    stream.ring_events = small ? 16 : 1024;
    stream.slow_grace_ms = small ? 10 : 60000;
    sse_server_options options = fixture_options();
    options.stream = &stream;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    now = (run){.small = small};
    now.server = serve(&options, &now.port);
    snprintf(now.url, sizeof now.url, "http%s://127.0.0.1:%u/events", cert_tls() ? "s" : "",
             now.port);
    if (cert_tls())
        snprintf(now.authority, sizeof now.authority, "%s", cert_path("ca", "crt"));
    for (int i = 0; i < STREAMS; i++)
        create(now.server, stream_name(i));
}

static bool all_have_come(void *arg)
{
    (void)arg;
    sse_server_stats stats;
    sse_server_get_stats(now.server, &stats);
    return stats.subscribed >= FOLLOWERS;
}

static void come_and_go(bool small)
{
    static follower followers[FOLLOWERS];
    pthread_t publishers[PUBLISHERS];
    uint64_t gaps = 0;
    set_up(small);
    for (unsigned i = 0; i < FOLLOWERS; i++)
        start(&followers[i], i);
    cr_assert(wait_until(all_have_come, NULL, LONG));
    for (uintptr_t i = 0; i < PUBLISHERS; i++)
        cr_assert_eq(pthread_create(&publishers[i], NULL, publisher_main, (void *)i), 0);
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        void *why;
        pthread_join(publishers[i], &why);
        cr_assert_null(why, "%s", (const char *)why);
    }
    for (unsigned i = 0; i < FOLLOWERS; i++) {
        end(&followers[i]);
        gaps += followers[i].gaps;
    }
    cr_assert(small ? gaps >= FOLLOWERS : gaps == 0, "%" PRIu64 " gaps", gaps);
    cr_assert_eq(totals(now.server).published, (uint64_t)STREAMS * PER_STREAM);
    sse_server_free(now.server);
}

/* Delivery: subscribers that come and go, history large enough. */
Test(delivery, subscribers_that_come_and_go_lose_nothing) { come_and_go(false); }

/* Delivery: the same with a history too small: delivered and announced make what was published. */
Test(delivery, with_too_little_history_gaps_say_what_is_missing) { come_and_go(true); }
