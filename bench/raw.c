/* The raw epoll server; see raw.h. One thread, in a process of its own.
 *
 * Each stream has a ring of bytes with the encoded events, and each subscriber a place in it, so
 * that what is due to a subscriber lies in one piece, or in two at the ring's end. A publication
 * that does not fit waits until the slowest subscriber has made room: nothing is ever dropped.
 *
 * Invariant: a subscriber with bytes due either is on a stream that is marked dirty, or its socket
 * is full (`blocked`) and epoll will tell when it is not. */
#include "raw.h"

#include "http1.h"
#include "tool.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#define LOG_EVENTS 65536u /* whose ends are known, a power of two */
#define TABLE 4096u
#define REQUEST_MAX ((size_t)32 << 20)

typedef struct sub sub;

typedef struct stream {
    struct stream *next; /* in its bucket of the table */
    char *target;
    char *log;                  /* ring of bytes */
    uint64_t *ends;             /* ring: where event k ends */
    uint64_t events;            /* ever */
    uint64_t low_at, low_event; /* no subscriber is further behind than this */
    sub **subs;
    uint32_t n, cap;
    bool dirty;
} stream;

/* A connection that subscribes; others are `peer`s. Small: there may be many. */
struct sub {
    stream *stream;
    uint64_t at;    /* bytes of the stream that it has */
    uint64_t event; /* the next event, of which it may have some bytes */
    uint32_t slot;  /* in stream->subs */
    int fd;
    bool blocked;
};

/* A connection whose request is being read, and publishers. */
typedef struct peer {
    tool_buffer in;
    int fd;
    bool held; /* its request waits for room */
} peer;

/* What epoll gives back: the lowest bit tells subs from peers. */
#define IS_SUB ((uintptr_t)1)

static raw_options config;
static int epoll_fd;
static stream *table[TABLE];
static stream **dirty;
static size_t ndirty, dirty_cap;
static peer **held;
static size_t nheld, held_cap;
static uint32_t nsubs;

static const char subscribed[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                 "Cache-Control: no-cache\r\nConnection: close\r\n\r\n";
static const char published[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/* ---- streams ---- */

static stream *find_stream(const char *target, size_t n)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ (unsigned char)target[i]) * 16777619u;
    stream **bucket = &table[hash % TABLE];
    for (stream *s = *bucket; s; s = s->next)
        if (strncmp(s->target, target, n) == 0 && s->target[n] == '\0')
            return s;
    stream *s = tool_must(calloc(1, sizeof *s));
    s->target = tool_must(strndup(target, n));
    s->log = tool_must(malloc(config.log_bytes));
    s->ends = tool_must(malloc(LOG_EVENTS * sizeof *s->ends));
    s->next = *bucket;
    *bucket = s;
    return s;
}

static uint64_t end_of(const stream *s)
{
    return s->events ? s->ends[(s->events - 1) % LOG_EVENTS] : 0;
}

static void mark_dirty(stream *s)
{
    if (s->dirty)
        return;
    if (ndirty == dirty_cap) {
        dirty_cap = dirty_cap ? dirty_cap * 2 : 64;
        dirty = tool_must(realloc(dirty, dirty_cap * sizeof *dirty));
    }
    s->dirty = true;
    dirty[ndirty++] = s;
}

static bool fits(const stream *s, size_t bytes, size_t events)
{
    return end_of(s) + bytes - s->low_at <= config.log_bytes &&
           s->events + events - s->low_event <= LOG_EVENTS;
}

static bool has_room(stream *s, size_t bytes, size_t events)
{
    if (fits(s, bytes, events))
        return true;
    s->low_at = end_of(s);
    s->low_event = s->events;
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->subs[i]->at < s->low_at)
            s->low_at = s->subs[i]->at;
        if (s->subs[i]->event < s->low_event)
            s->low_event = s->subs[i]->event;
    }
    return fits(s, bytes, events);
}

static void log_bytes(stream *s, uint64_t at, const char *bytes, size_t n)
{
    size_t from = (size_t)(at & (config.log_bytes - 1));
    size_t first = config.log_bytes - from;
    if (first > n)
        first = n;
    memcpy(s->log + from, bytes, first);
    memcpy(s->log, bytes + first, n - first);
}

#define ID_BYTES 40

static void append(stream *s, const char *before, const char *block, size_t n, const char *after)
{
    char id[ID_BYTES];
    uint64_t at = end_of(s);
    size_t parts[4] = {(size_t)snprintf(id, sizeof id, "id: 000000000000-%llu\n",
                                        (unsigned long long)s->events + 1),
                       strlen(before), n, strlen(after)};
    const char *bytes[4] = {id, before, block, after};
    for (int i = 0; i < 4; i++) {
        log_bytes(s, at, bytes[i], parts[i]);
        at += parts[i];
    }
    s->ends[s->events++ % LOG_EVENTS] = at;
}

/* ---- subscribers ---- */

static void drop_sub(sub *u)
{
    stream *s = u->stream;
    s->subs[u->slot] = s->subs[--s->n];
    s->subs[u->slot]->slot = u->slot;
    close(u->fd);
    free(u);
    nsubs--;
}

static void send_due(sub *u)
{
    stream *s = u->stream;
    while (u->event < s->events && !u->blocked) {
        uint64_t last = u->event + config.coalesce;
        uint64_t end = s->ends[((last < s->events ? last : s->events) - 1) % LOG_EVENTS];
        size_t n = (size_t)(end - u->at), from = (size_t)(u->at & (config.log_bytes - 1));
        size_t first = config.log_bytes - from < n ? config.log_bytes - from : n;
        struct iovec parts[2] = {{s->log + from, first}, {s->log, n - first}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = first < n ? 2 : 1};
        ssize_t sent = first < n ? sendmsg(u->fd, &message, MSG_NOSIGNAL)
                                 : send(u->fd, parts[0].iov_base, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0) {
            u->blocked = true; /* full, or gone: epoll tells which */
            return;
        }
        u->at += (uint64_t)sent;
        while (u->event < s->events && s->ends[u->event % LOG_EVENTS] <= u->at)
            u->event++;
    }
}

static void send_dirty(void)
{
    for (size_t i = 0; i < ndirty; i++) {
        stream *s = dirty[i];
        s->dirty = false;
        for (uint32_t k = 0; k < s->n; k++)
            send_due(s->subs[k]);
    }
    ndirty = 0;
}

static void subscribe(peer *p, stream *s)
{
    sub *u = tool_must(calloc(1, sizeof *u));
    uint64_t event = s->events > config.replay ? s->events - config.replay : 0;
    *u = (sub){.stream = s, .event = event, .slot = s->n, .fd = p->fd};
    u->at = event > 0 ? s->ends[(event - 1) % LOG_EVENTS] : 0;
    u->blocked = event < s->events; /* epoll tells at once that it may send */
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 4;
        s->subs = tool_must(realloc(s->subs, s->cap * sizeof(sub *)));
    }
    s->subs[s->n++] = u;
    nsubs++;
    if (u->at < s->low_at)
        s->low_at = u->at;
    if (event < s->low_event)
        s->low_event = event;
    (void)!send(p->fd, subscribed, sizeof subscribed - 1, MSG_NOSIGNAL);
    struct epoll_event watch = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.u64 = (uint64_t)((uintptr_t)u | IS_SUB)};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, p->fd, &watch);
    tool_buffer_free(&p->in);
    free(p);
}

static void sub_ready(sub *u, uint32_t events)
{
    char ignored[256];
    ssize_t n = 1;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        n = recv(u->fd, ignored, sizeof ignored, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || events & EPOLLRDHUP) {
        drop_sub(u);
        return;
    }
    if (events & EPOLLOUT && u->blocked) {
        u->blocked = false;
        send_due(u);
    }
}

/* ---- publishers ---- */

static void drop_peer(peer *p)
{
    for (size_t i = 0; i < nheld; i++)
        if (held[i] == p)
            held[i--] = held[--nheld];
    close(p->fd);
    tool_buffer_free(&p->in);
    free(p);
}

/* The end of the block at p, behind its empty line, or NULL. memchr() takes a fraction of the time of
 * memmem(), and this is the baseline. */
static const char *block_end(const char *p, const char *end)
{
    while ((p = memchr(p, '\n', (size_t)(end - p)))) {
        if (++p < end && *p == '\n')
            return p + 1;
    }
    return NULL;
}

static size_t count_blocks(const char *body, size_t n)
{
    size_t count = 0;
    for (const char *p = body; (p = block_end(p, body + n));)
        count++;
    return count;
}

/* Returns false when it has to wait for room. */
static bool publish(stream *s, const char *body, size_t n, bool wire)
{
    size_t events = wire ? count_blocks(body, n) : 1;
    if (!has_room(s, n + events * (ID_BYTES + 8), events))
        return false;
    if (!wire) {
        append(s, "data: ", body, n, "\n\n");
    } else {
        for (const char *p = body, *at; (at = block_end(p, body + n)); p = at)
            append(s, "", p, (size_t)(at - p), "");
    }
    mark_dirty(s);
    return true;
}

static uint64_t content_length(const char *head, size_t n, bool *wire)
{
    uint64_t length = 0;
    for (const char *p = head; (p = memchr(p, '\n', n - (size_t)(p - head))); p++) {
        if (strncasecmp(p + 1, "content-length:", 15) == 0)
            length = strtoull(p + 16, NULL, 10);
        if (strncasecmp(p + 1, "content-type: text/event-stream", 31) == 0)
            *wire = true;
    }
    return length;
}

static void hold(peer *p)
{
    if (p->held)
        return;
    if (nheld == held_cap) {
        held_cap = held_cap ? held_cap * 2 : 16;
        held = tool_must(realloc(held, held_cap * sizeof *held));
    }
    p->held = true;
    held[nheld++] = p;
}

static void tell_status(const peer *p)
{
    char answer[160], body[32];
    int n = snprintf(body, sizeof body, "sse_subscribers %u\n", nsubs);
    int len =
        snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", n, body);
    (void)!send(p->fd, answer, (size_t)len, MSG_NOSIGNAL);
}

/* Serve the request at the start of p->in when it is there as a whole. Returns the bytes that it
 * took, 0: none; *gone: p is a subscriber now, or no more. */
static size_t serve_one(peer *p, bool *gone)
{
    char *in = p->in.bytes;
    char *end = p->in.len ? memmem(in, p->in.len, "\r\n\r\n", 4) : NULL;
    if (!end)
        return 0;
    char *target = memchr(in, ' ', (size_t)(end - in));
    char *space = target ? memchr(target + 1, ' ', (size_t)(end - target - 1)) : NULL;
    if (!space) {
        *gone = true;
        drop_peer(p);
        return 0;
    }
    size_t head = (size_t)(end - in) + 4;
    if (strncmp(in, "GET " RAW_STATUS " ", sizeof RAW_STATUS + 4) == 0) {
        tell_status(p);
        return head;
    }
    if (*in == 'G') {
        *gone = true;
        subscribe(p, find_stream(target + 1, (size_t)(space - target - 1)));
        return 0;
    }
    bool wire = false;
    uint64_t length = content_length(in, head, &wire);
    if (length > REQUEST_MAX || p->in.len - head < length)
        return 0;
    stream *s = find_stream(target + 1, (size_t)(space - target - 1));
    if (!publish(s, in + head, (size_t)length, wire)) {
        hold(p);
        return 0;
    }
    (void)!send(p->fd, published, sizeof published - 1, MSG_NOSIGNAL);
    return head + (size_t)length;
}

static bool serve(peer *p)
{
    bool gone = false;
    size_t took;
    while ((took = serve_one(p, &gone)) > 0) {
        p->in.len -= took;
        memmove(p->in.bytes, p->in.bytes + took, p->in.len);
    }
    return !gone;
}

static void peer_ready(peer *p)
{
    size_t room = p->in.len > 4096 ? 262144 : 1024;
    ssize_t n = recv(p->fd, tool_buffer_room(&p->in, room), room, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop_peer(p);
        return;
    }
    p->in.len += (size_t)n;
    if (!p->held)
        (void)serve(p);
}

/* Those that wait for room, once subscribers have read. */
static void serve_held(void)
{
    size_t n = nheld;
    for (size_t i = 0; i < n && nheld > 0; i++) {
        peer *p = held[0];
        memmove(held, held + 1, --nheld * sizeof(peer *));
        p->held = false;
        (void)serve(p);
    }
}

/* ---- the loop ---- */

static void accept_all(void)
{
    for (;;) {
        int fd = accept4(config.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        peer *p = tool_must(calloc(1, sizeof *p));
        p->fd = fd;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = p};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

_Noreturn void raw_serve(const raw_options *options)
{
    struct epoll_event events[256];
    config = *options;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event listener = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, config.listener, &listener) != 0)
        _exit(TOOL_UNAVAILABLE);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, 256, -1);
        for (int i = 0; i < n; i++) {
            uintptr_t data = (uintptr_t)events[i].data.u64;
            if (data == 0)
                accept_all();
            else if (data & IS_SUB)
                sub_ready((sub *)(data & ~IS_SUB), events[i].events);
            else
                peer_ready((peer *)data);
        }
        send_dirty();
        if (nheld > 0)
            serve_held();
        send_dirty();
    }
}
