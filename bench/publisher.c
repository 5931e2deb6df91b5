/* The publisher's thread; see publisher.h. It blocks in its connection (wire.c), and sleeps up to an absolute
 * time, in pieces, so that it sees `stop`.
 *
 * Invariant: events of a stream are offered in order, and the next ones only after the server has
 * taken the last ones; so what was refused never overtakes. */
#include "publisher.h"

#include "interrupt.h"
#include "procstat.h"
#include "stamp.h"
#include "sync.h"
#include "tool.h"
#include "wire.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define BACKOFF_MIN_NS 100000u
#define BACKOFF_MAX_NS 5000000u
/* Flat out: large enough that requests cost little, small enough to stay in the cache. */
#define BATCH_EVENTS 256u
#define BATCH_BYTES 262144u
#define NS 1000000000.0

struct publisher {
    publisher_options options;
    char **plain_heads, **batch_heads; /* by stream, up to the Content-Length line */
    char *payload;
    atomic_bool stop;
    atomic_bool failed;
    atomic_bool finished; /* all that was due before `until` is published */
    atomic_ullong sent;
    atomic_ullong requests;
    atomic_ullong until; /* nothing is due any more from then on */
    tool_buffer request; /* publisher's thread, like all that follows, until it is joined */
    tool_buffer body;    /* of a batch */
    uint64_t *published; /* by stream */
    uint64_t start_ns;
    uint64_t free_ns; /* when the last answer had come */
    uint64_t refused;
    uint32_t turn; /* the stream that is looked at next */
    sse__thread thread;
    histogram lateness;
    char failure[TLS_WHY];
    wire wire;
};

static void give_up(publisher *p, const char *format, ...) SSE_PRINTF(2, 3);

static void give_up(publisher *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(p->failure, sizeof p->failure, format, args);
    va_end(args);
    atomic_store(&p->failed, true);
}

/* ---- requests ---- */

static void add_length(tool_buffer *b, size_t n)
{
    char line[64];
    snprintf(line, sizeof line, "Content-Length: %zu\r\n\r\n", n);
    tool_buffer_adds(b, line);
}

static uint64_t due_ns(const publisher *p, uint32_t stream, uint64_t k)
{
    double period = NS / p->options.rate;
    double offset = (double)stream / (double)p->options.active;
    return p->start_ns + (uint64_t)(((double)k + offset) * period);
}

/* Event number `seq` into p->payload. Flat out an event is due when it is made. */
static void stamp_event(publisher *p, uint32_t stream, uint64_t seq, uint64_t now)
{
    stamp_set(p->payload, seq, p->options.rate > 0 ? due_ns(p, stream, seq) : now);
}

static void add_plain(publisher *p, uint32_t stream, uint64_t seq, uint64_t now)
{
    stamp_event(p, stream, seq, now);
    tool_buffer_adds(&p->request, p->plain_heads[stream]);
    add_length(&p->request, p->options.payload);
    tool_buffer_add(&p->request, p->payload, p->options.payload);
}

static void make_batch(publisher *p, uint32_t stream, uint64_t seq, uint32_t n, uint64_t now)
{
    p->body.len = 0;
    for (uint32_t i = 0; i < n; i++) {
        stamp_event(p, stream, seq + i, now);
        tool_buffer_add(&p->body, "data: ", 6);
        tool_buffer_add(&p->body, p->payload, p->options.payload);
        tool_buffer_add(&p->body, "\n\n", 2);
    }
    tool_buffer_adds(&p->request, p->batch_heads[stream]);
    add_length(&p->request, p->body.len);
    tool_buffer_add(&p->request, p->body.bytes, p->body.len);
}

static bool is_refusal(int status) { return status == 429 || status == 503; }

static void take_events(publisher *p, uint32_t stream, uint64_t n)
{
    p->published[stream] += n;
    atomic_fetch_add(&p->sent, n);
    atomic_fetch_add(&p->requests, 1);
}

/* Send p->request, `answers` requests of `each` events. Returns how many answers were fine; fewer
 * means a refusal, or that it gave up. */
static uint32_t exchange(publisher *p, uint32_t stream, uint32_t answers, uint32_t each)
{
    uint32_t fine = 0, order = 0;
    if (!wire_send(&p->wire, p->request.bytes, p->request.len)) {
        give_up(p, "%s", p->wire.failure);
        return 0;
    }
    for (uint32_t i = 0; i < answers; i++) {
        int status = wire_status(&p->wire);
        if (status == 0) {
            give_up(p, "%s", p->wire.failure);
            return fine;
        }
        if (status >= 200 && status < 300) {
            take_events(p, stream, each);
            fine++;
            order = i;
        } else if (is_refusal(status)) {
            p->refused++;
        } else {
            give_up(p, "a publication was answered with %d", status);
            return fine;
        }
    }
    if (fine > 0 && order != fine - 1)
        give_up(p, "the server refused an event and took the next one: use no --publish-pipeline");
    return fine;
}

/* Offer n events until the server has taken them. */
static void publish(publisher *p, uint32_t stream, uint32_t n)
{
    const publisher_options *o = &p->options;
    uint64_t now = now_ns(), backoff = BACKOFF_MIN_NS;
    stamp_init(p->payload, STAMP_BYTES, o->run, o->first + stream);
    bool batch = o->format == PUBLISH_BATCH || (o->format == PUBLISH_AUTO && n > 1);
    if (o->rate > 0) {
        uint64_t due = due_ns(p, stream, p->published[stream]);
        uint64_t could = due > p->free_ns ? due : p->free_ns;
        histogram_add(&p->lateness, now > could ? now - could : 0);
    }
    while (n > 0 && !atomic_load(&p->failed)) {
        uint64_t seq = p->published[stream];
        p->request.len = 0;
        if (batch)
            make_batch(p, stream, seq, n, now);
        else
            for (uint32_t i = 0; i < n; i++)
                add_plain(p, stream, seq + i, now);
        uint32_t fine = exchange(p, stream, batch ? 1 : n, batch ? n : 1);
        n -= batch ? fine * n : fine;
        if (n == 0 || atomic_load(&p->stop))
            return;
        wait_until_ns(now_ns() + backoff);
        backoff = backoff * 2 < BACKOFF_MAX_NS ? backoff * 2 : BACKOFF_MAX_NS;
    }
}

/* ---- the schedule ---- */

/* How many events of a stream are due and not yet published. */
static uint64_t scheduled(const publisher *p, uint32_t stream, uint64_t now)
{
    if (p->options.rate <= 0)
        return UINT32_MAX;
    double elapsed = (double)(now - p->start_ns) / NS * p->options.rate;
    double offset = (double)stream / (double)p->options.active;
    if (elapsed < offset)
        return 0;
    uint64_t all = (uint64_t)(elapsed - offset) + 1;
    return all > p->published[stream] ? all - p->published[stream] : 0;
}

static uint64_t due_events(const publisher *p, uint32_t stream, uint64_t now)
{
    uint64_t n = scheduled(p, stream, now), limit = p->options.limit;
    if (limit == 0)
        return n;
    uint64_t left = limit - p->published[stream];
    return n < left ? n : left;
}

/* The next stream, in turn, with something due. Returns how much; 0: nothing, and *until says when
 * there will be. */
static uint64_t next_due(publisher *p, uint32_t *stream, uint64_t *until)
{
    uint64_t now = now_ns(), end = atomic_load(&p->until);
    if (now > end)
        now = end;
    *until = UINT64_MAX;
    for (uint32_t i = 0; i < p->options.active; i++) {
        uint32_t s = p->turn;
        uint64_t n = due_events(p, s, now);
        p->turn = s + 1 < p->options.active ? s + 1 : 0;
        if (n > 0) {
            *stream = s;
            return n;
        }
        uint64_t due = p->options.rate > 0 ? due_ns(p, s, p->published[s]) : UINT64_MAX;
        if (due < *until)
            *until = due;
    }
    return 0;
}

static void *publisher_run(void *arg)
{
    publisher *p = arg;
    const publisher_options *o = &p->options;
    uint32_t most = o->batch;
    if (o->format == PUBLISH_PLAIN)
        most = o->pipeline;
    /* The load threads may keep the core busy; being late would be this program's fault, not the
     * server's. Without the right to do so it goes on as it is. */
    (void)setpriority(PRIO_PROCESS, 0, -15);
    while (!atomic_load(&p->stop) && !atomic_load(&p->failed)) {
        uint32_t stream = 0;
        uint64_t until;
        uint64_t n = next_due(p, &stream, &until);
        uint64_t soon = now_ns() + 50000000u;
        if (n > 0 && !wire_refresh(&p->wire))
            give_up(p, "%s", p->wire.failure);
        else if (n > 0)
            publish(p, stream, (uint32_t)(n < most ? n : most));
        if (n > 0)
            p->free_ns = now_ns();
        else if (now_ns() < atomic_load(&p->until))
            wait_until_ns(until < soon ? until : soon);
        else
            break;
    }
    atomic_store(&p->finished, true);
    return NULL;
}

/* ---- the owner ---- */

static char **make_heads(const publisher_options *o, const char *type)
{
    char target[2112];
    char **heads = tool_must(calloc(o->active, sizeof *heads));
    for (uint32_t i = 0; i < o->active; i++) {
        http_target(o->url, o->first + i, o->named, target);
        heads[i] = http_request("POST", target, o->url, o->headers, type);
    }
    return heads;
}

publisher *publisher_start(const publisher_options *options, char why[TLS_WHY])
{
    publisher *p = tool_must(calloc(1, sizeof *p));
    if (!wire_open(&p->wire, options->url, options->trust)) {
        snprintf(why, TLS_WHY, "%s", p->wire.failure);
        wire_close(&p->wire);
        free(p);
        return NULL;
    }
    p->options = *options;
    publisher_options *o = &p->options;
    if (o->active == 0 || o->active > o->streams)
        o->active = o->streams;
    if (o->batch == 0) {
        o->batch = BATCH_BYTES / o->payload;
        o->batch = o->batch > BATCH_EVENTS ? BATCH_EVENTS : o->batch ? o->batch : 1;
    }
    if (o->pipeline == 0)
        o->pipeline = 1;
    p->plain_heads = make_heads(o, "text/plain");
    p->batch_heads = make_heads(o, "text/event-stream");
    p->published = tool_must(calloc(o->streams, sizeof *p->published));
    p->payload = tool_must(malloc(o->payload));
    stamp_init(p->payload, o->payload, o->run, 0);
    p->start_ns = p->free_ns = now_ns();
    atomic_init(&p->until, UINT64_MAX);
    if (sse__thread_start(&p->thread, "publish", 0, publisher_run, p) != SSE_OK) {
        fputs("sse-bench: no thread to be had\n", stderr);
        exit(TOOL_UNAVAILABLE);
    }
    return p;
}

bool publisher_works(const publisher *p) { return !atomic_load(&p->failed); }

void publisher_wait(publisher *p)
{
    uint64_t all = (uint64_t)p->options.limit * p->options.active;
    while (publisher_works(p) && publisher_sent(p) < all && !interrupt_signal())
        wait_until_ns(now_ns() + 1000000u);
}

uint64_t publisher_sent(const publisher *p) { return atomic_load(&p->sent); }
uint64_t publisher_requests(const publisher *p) { return atomic_load(&p->requests); }

void publisher_stop(publisher *p)
{
    atomic_store(&p->stop, true);
    sse__thread_join(&p->thread);
}

void publisher_finish(publisher *p, uint64_t until, uint64_t patience_ns)
{
    uint64_t deadline = now_ns() + patience_ns;
    if (p->options.rate > 0) {
        atomic_store(&p->until, until);
        while (!atomic_load(&p->finished) && now_ns() < deadline)
            wait_until_ns(now_ns() + 1000000u);
    }
    publisher_stop(p);
}

const uint64_t *publisher_published(const publisher *p) { return p->published; }
const histogram *publisher_lateness(const publisher *p) { return &p->lateness; }
const char *publisher_failure(const publisher *p) { return p->failure; }
uint64_t publisher_refused(const publisher *p) { return p->refused; }

void publisher_free(publisher *p)
{
    if (!p)
        return;
    for (uint32_t i = 0; i < p->options.active; i++) {
        free(p->plain_heads[i]);
        free(p->batch_heads[i]);
    }
    free(p->plain_heads);
    free(p->batch_heads);
    tool_buffer_free(&p->request);
    tool_buffer_free(&p->body);
    wire_close(&p->wire);
    free(p->payload);
    free(p->published);
    free(p);
}
