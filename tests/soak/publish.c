/* The publisher of a soak: mixed rates and sizes from one thread, a tick every 10 ms.
 *
 * On the hub a full ring is asked again, so that each number is published exactly once. The phoenix may be away: a number that it
 * did not answer for is given up, for nobody knows whether it was accepted; the gap that its next life announces covers that. */
#include "soak.h"

#include "../support/http.h"
#include "wait.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TICK_MS = 10,
    TICKS_PER_SECOND = 1000 / TICK_MS,
    LARGEST = 64 << 10,
    BURST = 200,
    DEADLINE_MS = 30000
};

typedef struct target {
    uint16_t port;
    http_conn *conn; /* NULL: to be connected */
} target;

typedef struct stream {
    target *to;
    const char *name;
    size_t bytes;   /* of an event's data */
    unsigned ticks; /* between two events */
    uint64_t next;  /* number */
} stream;

/* Returns the status, 0 when there was no answer. */
static int post(target *to, const char *path, const char *headers, const char *body, size_t len)
{
    http_response r;
    if (!to->conn)
        to->conn = http_connect(to->port);
    if (!to->conn)
        return 0;
    if (!http_request(to->conn, "POST", path, headers, body, len, &r, DEADLINE_MS)) {
        http_close(to->conn);
        to->conn = NULL;
        return 0;
    }
    int status = r.status;
    http_response_fini(&r);
    return status;
}

typedef struct attempt {
    target *to;
    const char *path, *headers, *body;
    size_t len;
    int status;
} attempt;

static bool answered(void *arg)
{
    attempt *a = arg;
    a->status = post(a->to, a->path, a->headers, a->body, a->len);
    return a->status == 200;
}

/* Until it is accepted. */
static bool insist(target *to, const char *path, const char *headers, const char *body, size_t len)
{
    attempt a = {to, path, headers, body, len, 0};
    if (wait_until(answered, &a, DEADLINE_MS))
        return true;
    fprintf(stderr, "soak: publishing to %s fails: status %d\n", path, a.status);
    return false;
}

static size_t fill(char *data, size_t bytes, uint64_t number)
{
    memset(data, 'x', bytes);
    int n = snprintf(data, LARGEST, "%llu ", (unsigned long long)number);
    data[n] = 'x'; /* not the NUL */
    return bytes > (size_t)n ? bytes : (size_t)n;
}

static bool publish_one(stream *s, bool must)
{
    static char data[LARGEST + 32];
    char path[64];
    size_t n = fill(data, s->bytes, s->next);
    snprintf(path, sizeof path, "/events?stream=%s", s->name);
    s->next++;
    if (must)
        return insist(s->to, path, NULL, data, n);
    (void)post(s->to, path, NULL, data, n);
    return true;
}

static bool publish_burst(stream *s)
{
    static char body[BURST * 40];
    char path[64];
    size_t n = 0;
    for (int i = 0; i < BURST; i++)
        n += (size_t)snprintf(body + n, sizeof body - n, "data: %llu\n\n",
                              (unsigned long long)s->next++);
    snprintf(path, sizeof path, "/events?stream=%s", s->name);
    return insist(s->to, path, "Content-Type: text/event-stream\r\n", body, n);
}

/* Streams that come by themselves and go when they are idle. */
static bool publish_passing(target *hub, uint64_t *random)
{
    char path[64];
    snprintf(path, sizeof path, "/events?stream=auto%u", (unsigned)soak_draw(random, 500));
    return insist(hub, path, NULL, "passing", 7);
}

static bool publish_end(stream *s)
{
    char path[64], data[24];
    snprintf(path, sizeof path, "/events?stream=%s&event=end", s->name);
    snprintf(data, sizeof data, "%llu", (unsigned long long)s->next);
    return insist(s->to, path, NULL, data, strlen(data));
}

int soak_publish(uint16_t hub_port, uint16_t phoenix_port, unsigned seconds)
{
    target hub = {hub_port, NULL}, phoenix = {phoenix_port, NULL};
    stream burst = {&hub, STREAM_BURST, 0, 5 * TICKS_PER_SECOND, 0};
    stream streams[] = {{&hub, STREAM_FAST, 80, 1, 0},
                        {&hub, STREAM_MEDIUM, 1000, 2, 0},
                        {&hub, STREAM_BIG, LARGEST, 10, 0},
                        {&hub, STREAM_SLOW, 20000, 2, 0},
                        {&phoenix, STREAM_PHOENIX, 50, 2, 0}};
    size_t n = sizeof streams / sizeof *streams;
    uint64_t random = 7;
    int clock = soak_clock(TICK_MS);
    bool ok = true;
    for (unsigned long tick = 0; ok && tick < (unsigned long)seconds * TICKS_PER_SECOND; tick++) {
        soak_tick(clock);
        for (size_t i = 0; ok && i < n; i++)
            if (tick % streams[i].ticks == 0)
                ok = publish_one(&streams[i], streams[i].to == &hub);
        if (ok && tick % burst.ticks == 0)
            ok = publish_burst(&burst);
        if (ok && tick % 20 == 0)
            ok = publish_passing(&hub, &random);
    }
    for (size_t i = 0; ok && i < n; i++)
        ok = publish_end(&streams[i]);
    ok = ok && publish_end(&burst);
    printf("published");
    for (size_t i = 0; i < n; i++)
        printf(" %s=%llu", streams[i].name, (unsigned long long)streams[i].next);
    printf(" %s=%llu\n", burst.name, (unsigned long long)burst.next);
    http_close(hub.conn);
    http_close(phoenix.conn);
    return ok ? 0 : 1;
}
