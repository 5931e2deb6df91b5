/* Conformance 23: ending a subscription in every state and inside every callback, from one thread and from many. No callback comes after a
 * stop; threads and descriptors go back. */
#include "recorder.h"
#include "scripted_server.h"
#include "subscription.h"
#include "wait.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define GENEROUS_MS 60000

/* Nothing but the end of the subscription may end what it does. */
static sse_client_options patient(void)
{
    sse_client_options o = SSE_CLIENT_OPTIONS_INIT;
    o.connect_timeout_ms = o.response_timeout_ms = SSE_OFF;
    o.retry_ms = o.max_retry_ms = 3600000;
    return o;
}

struct state {
    recorder *rec;
    sse_client *client;
    sse_subscription *sub;
};

static struct state begin(const char *url, const sse_client_options *o)
{
    struct state s = {.rec = recorder_new(), .client = client_for(url, o)};
    s.sub = recorder_subscribe(s.rec, s.client, NULL);
    return s;
}

/* Stop it, and see that this is the last that was heard of it. */
static void stop_is_final(struct state *s, const char *lines_before)
{
    char want[500];
    snprintf(want, sizeof want, "%sclose SSE_ECANCELED\n", lines_before);
    sse_subscription_stop(s->sub);
    cr_assert_str_eq(recorder_lines(s->rec), want);
    cr_assert_eq(sse_subscription_state(s->sub), SSE_SUBSCRIPTION_CLOSED);
    cr_assert_eq(sse_subscription_reason(s->sub), SSE_ECANCELED);
    sse_subscription_stop(s->sub);
    sse_subscription_close(s->sub);
    sse_subscription_reconnect(s->sub);
    cr_assert_str_eq(recorder_lines(s->rec), want);
}

static void end(struct state *s)
{
    sse_subscription_free(s->sub);
    sse_client_free(s->client);
    recorder_free(s->rec);
}

/* ---- The states ---- */

static pthread_mutex_t resolver_mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t resolver_changed = PTHREAD_COND_INITIALIZER;
static unsigned resolving; /* calls that are under way */
static bool may_resolve;

static void resolve_slowly(void)
{
    pthread_mutex_lock(&resolver_mu);
    resolving++;
    pthread_cond_broadcast(&resolver_changed);
    while (!may_resolve)
        pthread_cond_wait(&resolver_changed, &resolver_mu);
    resolving--;
    pthread_cond_broadcast(&resolver_changed);
    pthread_mutex_unlock(&resolver_mu);
}

/* In place of the C library's, which curl calls: one host takes as long as the test wants. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **res)
{
    if (node && strcmp(node, "slow.test") == 0) {
        resolve_slowly();
        return EAI_NONAME;
    }
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(node, service, hints, res);
}

static void wait_resolving(unsigned n)
{
    pthread_mutex_lock(&resolver_mu);
    while (resolving != n)
        pthread_cond_wait(&resolver_changed, &resolver_mu);
    pthread_mutex_unlock(&resolver_mu);
}

static bool threads_are(void *count) { return wait_count_threads(0) == *(int *)count; }

static bool fds_are(void *count) { return wait_count_fds(0) == *(int *)count; }

Test(conformance_23, while_resolving)
{
    sse_client_options o = patient();
    int threads = wait_count_threads(0);
    struct state s = begin("http://slow.test/", &o);
    wait_resolving(1);
    cr_assert_eq(sse_subscription_state(s.sub), SSE_SUBSCRIPTION_CONNECTING);
    stop_is_final(&s, "");
    end(&s);
    /* The resolver cannot be interrupted; curl leaves it to itself. */
    pthread_mutex_lock(&resolver_mu);
    may_resolve = true;
    pthread_cond_broadcast(&resolver_changed);
    pthread_mutex_unlock(&resolver_mu);
    wait_resolving(0);
    cr_assert(wait_until(threads_are, &threads, GENEROUS_MS));
}

/* A listener whose queue is full: the kernel drops further connection requests without a word. */
static int full_listener(int *filler, size_t n, struct sockaddr_in *addr)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof *addr;
    *addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    cr_assert_eq(bind(fd, (struct sockaddr *)addr, len), 0);
    cr_assert_eq(listen(fd, 0), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)addr, &len), 0);
    for (size_t i = 0; i < n; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(filler[i], (struct sockaddr *)addr, len);
    }
    return fd;
}

/* True when the process has more sockets than `count`: curl's is one of them. */
static bool more_fds_than(void *count) { return wait_count_fds(0) > *(int *)count; }

Test(conformance_23, while_connecting)
{
    int filler[4];
    struct sockaddr_in addr;
    int listener = full_listener(filler, 4, &addr);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", ntohs(addr.sin_port));
    sse_client_options o = patient();
    struct state s = {.rec = recorder_new(), .client = client_for(url, &o)};
    sse_subscribe_options so = SSE_SUBSCRIBE_OPTIONS_INIT;
    sse_client_callbacks callbacks = recorder_callbacks();
    so.callbacks = &callbacks;
    so.user = s.rec;
    cr_assert_eq(sse_subscription_new(s.client, &so, &s.sub), SSE_OK);
    int fds = wait_count_fds(0);
    cr_assert_eq(sse_subscription_start(s.sub), SSE_OK);
    cr_assert(wait_until(more_fds_than, &fds, GENEROUS_MS));
    stop_is_final(&s, "");
    end(&s);
    for (size_t i = 0; i < 4; i++)
        close(filler[i]);
    close(listener);
}

static void say_nothing(scripted_conn *c, void *user)
{
    (void)user;
    conn_wait_peer(c);
}

Test(conformance_23, in_the_tls_handshake)
{
    scripted *server = scripted_start(say_nothing, NULL);
    char url[64];
    snprintf(url, sizeof url, "https://127.0.0.1:%u/", scripted_port(server));
    sse_client_options o = patient();
    struct state s = begin(url, &o);
    cr_assert(scripted_wait_connections(server, 1));
    stop_is_final(&s, "");
    cr_assert(scripted_wait_ended(server, 1));
    end(&s);
    scripted_stop(server);
}

Test(conformance_23, while_waiting_for_the_answer)
{
    scripted *server = scripted_start(scripted_play, REPLIES({"HTTP/1.1 200 OK\r\n", END_HOLD, 0}));
    sse_client_options o = patient();
    struct state s = begin(scripted_url(server, "/"), &o);
    cr_assert(scripted_wait_requests(server, 1));
    stop_is_final(&s, "");
    cr_assert(scripted_wait_ended(server, 1));
    end(&s);
    scripted_stop(server);
}

Test(conformance_23, while_reading)
{
    scripted *server =
        scripted_start(scripted_play, REPLIES({STREAM_HEAD "data: a\n\ndata: b", END_HOLD, 0}));
    sse_client_options o = patient();
    struct state s = begin(scripted_url(server, "/"), &o);
    cr_assert(recorder_wait(s.rec, "event"));
    stop_is_final(&s, "open 200\nevent |message|a\n");
    cr_assert(scripted_wait_ended(server, 1));
    end(&s);
    scripted_stop(server);
}

Test(conformance_23, while_waiting_to_reconnect)
{
    scripted *server = scripted_start(scripted_play, REPLIES({STREAM_HEAD, END_FIN, 0}));
    sse_client_options o = patient();
    struct state s = begin(scripted_url(server, "/"), &o);
    cr_assert(recorder_wait(s.rec, "retry"));
    cr_assert_eq(sse_subscription_state(s.sub), SSE_SUBSCRIPTION_WAITING);
    stop_is_final(&s, "open 200\nerror SSE_EEOF\nretry\n");
    cr_assert_eq(scripted_connections(server), 1);
    end(&s);
    scripted_stop(server);
}

Test(conformance_23, before_it_was_started)
{
    sse_client *client = client_for("http://127.0.0.1:9/", NULL);
    sse_subscription *sub;
    cr_assert_eq(sse_subscription_new(client, NULL, &sub), SSE_OK);
    cr_assert_eq(sse_subscription_state(sub), SSE_SUBSCRIPTION_NEW);
    sse_subscription_stop(sub);
    cr_assert_eq(sse_subscription_start(sub), SSE_ECLOSED);
    cr_assert_eq(sse_subscription_run(sub), SSE_ECLOSED);
    sse_subscription_free(sub);
    sse_subscription_free(NULL);
    sse_client_free(client);
    sse_client_free(NULL);
}

static void flood(scripted_conn *c, void *user)
{
    (void)user;
    conn_read_request(c);
    conn_puts(c, STREAM_HEAD);
    while (conn_puts(c, "data: one\n\ndata: two\n\n:comment\ndata: three\n\n"))
        ;
}

/* The hardest moment is the one that the scheduler picks. */
Test(conformance_23, under_load_nothing_comes_after_a_stop)
{
    scripted *server = scripted_start(flood, NULL);
    for (int i = 0; i < 100; i++) {
        struct state s = begin(scripted_url(server, "/"), NULL);
        if (i % 2)
            cr_assert(recorder_wait_nth(s.rec, "event", (size_t)i));
        sse_subscription_stop(s.sub);
        cr_assert_eq(recorder_count(s.rec, "close SSE_ECANCELED"), 1);
        end(&s); /* a later callback would use freed memory: AddressSanitizer's to find */
    }
    scripted_stop(server);
}

/* ---- Inside callbacks ---- */

struct inside {
    const char *when; /* prefix of the line, at whose callback it happens */
    void (*act)(struct inside *in, sse_subscription *sub);
    sse_client *client;
    sse_subscription *handle;
    atomic_int acted;
    atomic_bool done; /* handle and client are the test's again */
};

static void act_close(struct inside *in, sse_subscription *sub)
{
    (void)in;
    sse_subscription_close(sub);
    sse_subscription_close(sub);
}

static void act_stop(struct inside *in, sse_subscription *sub)
{
    (void)in;
    sse_subscription_stop(sub);
}

static void act_client_close(struct inside *in, sse_subscription *sub)
{
    (void)sub;
    sse_client_close(in->client);
}

static void act_client_stop(struct inside *in, sse_subscription *sub)
{
    (void)sub;
    sse_client_stop(in->client);
    sse_client_stop(in->client);
}

static void act_free(struct inside *in, sse_subscription *sub)
{
    (void)sub;
    sse_subscription_free(in->handle);
    in->handle = NULL;
}

static void act_free_client(struct inside *in, sse_subscription *sub)
{
    (void)sub;
    sse_client_free(in->client);
    in->client = NULL;
}

static void act_free_all(struct inside *in, sse_subscription *sub)
{
    act_free(in, sub);
    act_free_client(in, sub);
}

/* Without handle and client there is nothing left to wait for the thread with: what it uses must stay. */
static void keep(recorder *r)
{
    static recorder *kept[16];
    static size_t n;
    cr_assert_lt(n, sizeof kept / sizeof kept[0]);
    kept[n++] = r;
}

static void inside_line(void *user, sse_subscription *sub, const char *line)
{
    struct inside *in = user;
    if (strncmp(line, in->when, strlen(in->when)) == 0 && in->acted++ == 0) {
        in->act(in, sub);
        in->done = true;
    }
}

static bool is_done(void *inside) { return ((struct inside *)inside)->done; }

/* What comes up to and with the callback in which it happens, then on_close, and nothing else. `threads`: as many as there
 * are while no connection is there. */
static void happens_inside(scripted *server, int threads, const char *when, const char *lines,
                           void (*act)(struct inside *, sse_subscription *))
{
    struct inside in = {.when = when, .act = act};
    recorder *r = recorder_new();
    recorder_on_line(r, inside_line, &in);
    sse_client_options o = patient();
    in.client = client_for(scripted_url(server, "/"), &o);
    sse_client_callbacks callbacks = recorder_callbacks();
    sse_subscribe_options so = SSE_SUBSCRIBE_OPTIONS_INIT;
    so.callbacks = &callbacks;
    so.user = r;
    cr_assert_eq(sse_subscription_new(in.client, &so, &in.handle), SSE_OK);
    cr_assert_eq(sse_subscription_start(in.handle), SSE_OK);
    cr_assert(recorder_wait(r, "close"));
    cr_assert(wait_until(is_done, &in, GENEROUS_MS));
    bool final = strncmp(when, "close", 5) == 0;
    char want[300];
    snprintf(want, sizeof want, "%s%s", lines, final ? "" : "close SSE_ECANCELED\n");
    if (in.handle)
        sse_subscription_stop(in.handle);
    cr_assert_str_eq(recorder_lines(r), want);
    cr_assert_eq(in.acted, 1);
    bool lost = !in.handle && !in.client;
    sse_subscription_free(in.handle);
    sse_client_free(in.client);
    cr_assert(scripted_wait_ended(server, scripted_connections(server)));
    cr_assert(wait_until(threads_are, &threads, GENEROUS_MS)); /* nobody may have joined it */
    if (lost)
        keep(r);
    else
        recorder_free(r);
}

static void (*const acts[])(struct inside *, sse_subscription *) = {
    act_close, act_stop,        act_client_close, act_client_stop,
    act_free,  act_free_client, act_free_all};
enum { NACTS = sizeof acts / sizeof acts[0] };

Test(conformance_23, inside_on_open_on_comment_on_event)
{
    int threads = wait_count_threads(0), with_server = threads + 1;
    for (size_t i = 0; i < NACTS; i++) {
        scripted *server = scripted_start(
            scripted_play,
            REPLIES({STREAM_HEAD ":c\ndata: a\n\n:d\ndata: b\n\ndata: c\n\n", END_FIN, 0}));
        happens_inside(server, with_server, "open", "open 200\n", acts[i]);
        happens_inside(server, with_server, "comment", "open 200\ncomment c\n", acts[i]);
        happens_inside(server, with_server, "event", "open 200\ncomment c\nevent |message|a\n",
                       acts[i]);
        scripted_stop(server);
    }
    cr_assert(wait_until(threads_are, &threads, GENEROUS_MS));
}

Test(conformance_23, inside_on_error_on_retry_on_close)
{
    int threads = wait_count_threads(0), with_server = threads + 1;
    for (size_t i = 0; i < NACTS; i++) {
        scripted *server = scripted_start(scripted_play, REPLIES({STREAM_HEAD, END_FIN, 0}));
        happens_inside(server, with_server, "error", "open 200\nerror SSE_EEOF\n", acts[i]);
        happens_inside(server, with_server, "retry", "open 200\nerror SSE_EEOF\nretry\n", acts[i]);
        scripted_stop(server);
        server = scripted_start(scripted_play, REPLIES({"HTTP/1.1 204 Stop\r\n\r\n", END_FIN, 0}));
        happens_inside(server, with_server, "close",
                       "error SSE_ESTOPPED final\nclose SSE_ESTOPPED\n", acts[i]);
        scripted_stop(server);
    }
    cr_assert(wait_until(threads_are, &threads, GENEROUS_MS));
}

/* The callbacks of the client's options. */
struct early {
    int which; /* 0: on_request, 1: validate, 2: next_delay */
};

static sse_err early_request(void *user, sse_subscription *sub, void *handle)
{
    struct early *e = user;
    cr_assert_not_null(handle);
    if (e->which == 0)
        sse_subscription_stop(sub);
    return SSE_OK;
}

static sse_verdict early_validate(void *user, sse_subscription *sub, const sse_response *response)
{
    struct early *e = user;
    (void)response;
    if (e->which == 1)
        sse_subscription_stop(sub);
    return SSE_VERDICT_DEFAULT;
}

static bool early_delay(void *user, sse_subscription *sub, const sse_client_error *error,
                        uint64_t *delay_ms)
{
    struct early *e = user;
    (void)error, (void)delay_ms;
    if (e->which == 2)
        sse_subscription_stop(sub);
    return true;
}

Test(conformance_23, inside_the_callbacks_of_the_client)
{
    const char *const want[] = {"close SSE_ECANCELED\n", "close SSE_ECANCELED\n",
                                "open 200\nevent |message|a\nclose SSE_ECANCELED\n"};
    for (int i = 0; i < 3; i++) {
        scripted *server =
            scripted_start(scripted_play, REPLIES({STREAM_HEAD "data: a\n\n", END_FIN, 0}));
        struct early early = {.which = i};
        sse_client_options o = patient();
        o.user = &early;
        o.on_request = early_request;
        o.validate = early_validate;
        o.next_delay = early_delay;
        struct state s = begin(scripted_url(server, "/"), &o);
        cr_assert(recorder_wait(s.rec, "close"));
        sse_subscription_stop(s.sub);
        cr_assert_str_eq(recorder_lines(s.rec), want[i]);
        cr_assert_eq(scripted_requests(server), i > 0);
        end(&s);
        scripted_stop(server);
    }
}

/* ---- Blocking, and several ---- */

static void *close_it(void *client)
{
    sse_client_close(client);
    return NULL;
}

static void close_from_elsewhere(void *user, sse_subscription *sub, const char *line)
{
    pthread_t *thread = user;
    if (strncmp(line, "event", 5) == 0)
        pthread_create(thread, NULL, close_it, sse_subscription_client(sub));
}

Test(lifecycle, a_blocking_subscription_is_ended_from_another_thread)
{
    scripted *server =
        scripted_start(scripted_play, REPLIES({STREAM_HEAD "data: a\n\n", END_HOLD, 0}));
    recorder *r = recorder_new();
    pthread_t thread;
    recorder_on_line(r, close_from_elsewhere, &thread);
    sse_client *client = client_for(scripted_url(server, "/"), NULL);
    sse_client_callbacks callbacks = recorder_callbacks();
    cr_assert_eq(sse_client_subscribe(client, NULL, &callbacks, r), SSE_ECANCELED);
    cr_assert_str_eq(recorder_lines(r), "open 200\nevent |message|a\nclose SSE_ECANCELED\n");
    pthread_join(thread, NULL);
    cr_assert_eq(sse_client_subscribe(client, NULL, &callbacks, r), SSE_ECLOSED);
    cr_assert_eq(sse_client_subscribe_start(client, NULL, &callbacks, r, NULL), SSE_ECLOSED);
    sse_client_free(client);
    recorder_free(r);
    scripted_stop(server);
}

Test(lifecycle, a_subscription_starts_once)
{
    scripted *server = scripted_start(scripted_play, REPLIES({STREAM_HEAD, END_HOLD, 0}));
    sse_client *client = client_for(scripted_url(server, "/"), NULL);
    sse_subscription *sub;
    cr_assert_eq(sse_subscription_new(client, NULL, &sub), SSE_OK);
    cr_assert_eq(sse_subscription_start(sub), SSE_OK);
    cr_assert_eq(sse_subscription_start(sub), SSE_EINVAL);
    cr_assert_eq(sse_subscription_run(sub), SSE_EINVAL);
    sse_subscription_free(sub);
    sse_client_free(client);
    scripted_stop(server);
}

static void stop_the_other(void *user, sse_subscription *sub, const char *line)
{
    _Atomic(sse_subscription *) *both = user;
    if (strncmp(line, "event", 5) != 0)
        return;
    for (int i = 0; i < 2; i++)
        if (both[i] != sub)
            sse_subscription_stop(both[i]);
}

static void send_after_gate(scripted_conn *c, void *user)
{
    (void)user;
    conn_read_request(c);
    conn_puts(c, STREAM_HEAD);
    conn_wait(c, 1);
    conn_puts(c, "data: a\n\n");
    conn_wait_peer(c);
}

Test(lifecycle, two_callbacks_that_stop_each_other_do_not_deadlock)
{
    scripted *server = scripted_start(send_after_gate, NULL);
    recorder *r = recorder_new();
    _Atomic(sse_subscription *) both[2];
    recorder_on_line(r, stop_the_other, both);
    sse_client *client = client_for(scripted_url(server, "/"), NULL);
    for (int i = 0; i < 2; i++)
        both[i] = recorder_subscribe(r, client, NULL);
    cr_assert(recorder_wait_nth(r, "open", 2));
    scripted_open_gate(server, 1);
    cr_assert(recorder_wait(r, "close"));
    sse_client_stop(client);
    cr_assert_eq(recorder_count(r, "close"), 2);
    for (int i = 0; i < 2; i++)
        sse_subscription_free(both[i]);
    sse_client_free(client);
    recorder_free(r);
    scripted_stop(server);
}

Test(lifecycle, subscriptions_without_handles_belong_to_the_client)
{
    scripted *server =
        scripted_start(scripted_play, REPLIES({STREAM_HEAD "data: a\n\n", END_HOLD, 0}));
    int threads = wait_count_threads(0);
    recorder *r = recorder_new();
    sse_client *client = client_for(scripted_url(server, "/"), NULL);
    sse_client_callbacks callbacks = recorder_callbacks();
    for (int i = 0; i < 5; i++)
        cr_assert_eq(sse_client_subscribe_start(client, NULL, &callbacks, r, NULL), SSE_OK);
    cr_assert(recorder_wait_nth(r, "event", 5));
    sse_client_free(client);
    cr_assert_eq(recorder_count(r, "close SSE_ECANCELED"), 5);
    recorder_free(r);
    scripted_stop(server);
    threads--; /* the server's */
    cr_assert(wait_until(threads_are, &threads, GENEROUS_MS));
}

Test(lifecycle, threads_that_ended_by_themselves_do_not_pile_up)
{
    scripted *server =
        scripted_start(scripted_play, REPLIES({"HTTP/1.1 204 Stop\r\n\r\n", END_FIN, 0}));
    int fds = wait_count_fds(0);
    recorder *r = recorder_new();
    sse_client *client = client_for(scripted_url(server, "/"), NULL);
    sse_client_callbacks callbacks = recorder_callbacks();
    for (size_t i = 1; i <= 200; i++) {
        cr_assert_eq(sse_client_subscribe_start(client, NULL, &callbacks, r, NULL), SSE_OK);
        cr_assert(recorder_wait_nth(r, "close SSE_ESTOPPED", i));
    }
    cr_assert_leq(wait_count_threads(0), 60);
    sse_client_free(client);
    cr_assert(wait_until(fds_are, &fds, GENEROUS_MS));
    recorder_free(r);
    scripted_stop(server);
}

/* ---- Many threads at once ---- */

struct crowd {
    pthread_barrier_t barrier;
    sse_client *client;
    sse_subscription *sub;
    atomic_uint next;
};

static void *member(void *arg)
{
    struct crowd *c = arg;
    unsigned which = c->next++;
    char id[8];
    pthread_barrier_wait(&c->barrier);
    switch (which % 6) {
    case 0:
        sse_subscription_stop(c->sub);
        break;
    case 1:
        sse_subscription_close(c->sub);
        break;
    case 2:
        sse_subscription_reconnect(c->sub);
        break;
    case 3:
        (void)sse_subscription_last_event_id(c->sub, id, sizeof id);
        (void)!sse_subscription_set_last_event_id(c->sub, sse_cstr("x"));
        break;
    case 4:
        sse_client_stop(c->client);
        break;
    default:
        (void)sse_subscription_state(c->sub);
        sse_subscription_stop(c->sub);
    }
    return NULL;
}

Test(lifecycle, ended_by_many_threads_at_once)
{
    enum { MEMBERS = 12, ROUNDS = 50 };
    scripted *server = scripted_start(flood, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        struct crowd c = {.client = client_for(scripted_url(server, "/"), NULL)};
        recorder *r = recorder_new();
        c.sub = recorder_subscribe(r, c.client, NULL);
        pthread_barrier_init(&c.barrier, NULL, MEMBERS);
        pthread_t threads[MEMBERS];
        for (int i = 0; i < MEMBERS; i++)
            pthread_create(&threads[i], NULL, member, &c);
        for (int i = 0; i < MEMBERS; i++)
            pthread_join(threads[i], NULL);
        sse_client_free(c.client);
        cr_assert_eq(recorder_count(r, "close SSE_ECANCELED"), 1);
        sse_subscription_free(c.sub);
        pthread_barrier_destroy(&c.barrier);
        recorder_free(r);
    }
    scripted_stop(server);
}

static bool none_runs(void *arg)
{
    sse_client *client = arg;
    bool running = false;
    sse__mutex_lock(&client->mu);
    for (const sse_subscription *sub = client->subs; sub; sub = sub->next)
        running = running || sub->running;
    sse__mutex_unlock(&client->mu);
    return !running;
}

/* Nobody waits for them, but each start joins the threads that have ended by themselves. */
Test(lifecycle, threads_that_ended_do_not_pile_up)
{
    scripted *s = scripted_start(scripted_play, REPLIES({"HTTP/1.1 204 Stop\r\n\r\n", END_FIN, 0}));
    sse_client *client = client_for(scripted_url(s, "/"), NULL);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(sse_client_subscribe_start(client, NULL, NULL, NULL, NULL), SSE_OK);
        cr_assert(wait_until(none_runs, client, GENEROUS_MS));
        cr_assert_eq(client->nfinished, 1, "%zu to be joined", client->nfinished);
    }
    sse_client_free(client);
    scripted_stop(s);
}
