/* The network between server and client breaks so that no FIN or RST arrives, and comes back. Server and client are on two hosts
 * (netpair.h); what is published is published on the server's. */
#include "../support/cert.h"
#include "e2e.h"
#include "netpair.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sse/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 4, EACH = 500 };

static hub server;

/* The hub's own functions reach it from its own host. */
static void start_server(const char *const args[])
{
    const char *all[32] = {"--listen=0.0.0.0:0", "--anonymous-publish", "--stream=s"};
    size_t n = 3;
    for (; *args; args++)
        all[n++] = *args;
    if (cert_tls()) {
        (void)cert_default();
        cert_make("server", &(cert_spec){.issuer = "ca", .ip = SERVER_ADDRESS});
    }
    netpair_make();
    netpair_enter(HOST_SERVER);
    server = hub_start(all);
    netpair_enter(HOST_CLIENT);
}

static void end_server(void)
{
    netpair_enter(HOST_SERVER);
    hub_end(&server);
    netpair_remove();
}

static const char *server_url(void)
{
    return text("%s://" SERVER_ADDRESS ":%u/events", cert_tls() ? "https" : "http", server.port);
}

static void publish_some(size_t first, size_t n)
{
    netpair_enter(HOST_SERVER);
    publish_numbers(&server, "s", first, n);
    netpair_enter(HOST_CLIENT);
}

/* ---- a follower: each event that it receives must be the one after the last ---- */

typedef struct follower {
    sse_client *client;
    sse_subscription *sub;
    pthread_mutex_t mu; /* guards the rest */
    size_t next;        /* number that should come */
    size_t delivered, missed, gaps, opens, idle;
    char wrong[128]; /* the first event that was not as it should be */
} follower;

static void on_open(void *user, sse_subscription *sub, const sse_response *response)
{
    (void)sub;
    (void)response;
    follower *f = user;
    pthread_mutex_lock(&f->mu);
    f->opens++;
    pthread_mutex_unlock(&f->mu);
}

static void on_event(void *user, sse_subscription *sub, const sse_event *event)
{
    (void)sub;
    follower *f = user;
    char data[128];
    snprintf(data, sizeof data, "%.*s", (int)event->data.len, event->data.ptr);
    pthread_mutex_lock(&f->mu);
    if (event->type.len == 3 && memcmp(event->type.ptr, "gap", 3) == 0) {
        const char *missed = strstr(data, "\"missed\":");
        size_t n = missed ? strtoul(missed + 9, NULL, 10) : 0;
        f->gaps++;
        f->missed += n;
        f->next += n;
    } else if (strtoul(data, NULL, 10) == f->next) {
        f->delivered++;
        f->next++;
    } else if (!f->wrong[0]) {
        snprintf(f->wrong, sizeof f->wrong, "%.50s instead of %zu", data, f->next);
    }
    pthread_mutex_unlock(&f->mu);
}

static void on_error(void *user, sse_subscription *sub, const sse_client_error *error)
{
    (void)sub;
    follower *f = user;
    pthread_mutex_lock(&f->mu);
    f->idle += error->err == SSE_EIDLE;
    pthread_mutex_unlock(&f->mu);
}

static void follow_on(follower *f)
{
    sse_client_options options = SSE_CLIENT_OPTIONS_INIT;
    sse_client_callbacks callbacks = SSE_CLIENT_CALLBACKS_INIT;
    *f = (follower){.mu = PTHREAD_MUTEX_INITIALIZER};
    options.idle_timeout_ms = 1500;
    options.connect_timeout_ms = 1000;
    options.response_timeout_ms = 3000;
    options.retry_ms = 20;
    options.max_retry_ms = 200;
    options.cacert = trusted();
    callbacks.on_open = on_open;
    callbacks.on_event = on_event;
    callbacks.on_error = on_error;
    cr_assert_eq(sse_client_new(server_url(), &options, &f->client), SSE_OK);
    cr_assert_eq(sse_client_subscribe_start(f->client, "s", &callbacks, f, &f->sub), SSE_OK);
}

static follower look(follower *f)
{
    pthread_mutex_lock(&f->mu);
    follower copy = *f;
    pthread_mutex_unlock(&f->mu);
    return copy;
}

static void leave(follower *f)
{
    sse_subscription_free(f->sub);
    sse_client_free(f->client);
}

typedef struct goal {
    follower *f;
    size_t next, idle;
} goal;

static bool reached(void *arg)
{
    const goal *g = arg;
    follower now = look(g->f);
    return now.wrong[0] || (now.opens > 0 && now.next >= g->next && now.idle >= g->idle);
}

static void wait_for(follower *f, size_t next, size_t idle)
{
    goal g = {f, next, idle};
    bool in_time = wait_until(reached, &g, LONG);
    follower now = look(f);
    cr_assert_str_eq(now.wrong, "");
    cr_assert(in_time, "at %zu of %zu, idle %zu of %zu times, opened %zu times", now.next, next,
              now.idle, idle, now.opens);
}

/* ---- cut and healed ---- */

/* In each round: events over the network, then events while it is cut. In every second round the client has noticed before the
 * network is back, so that it resumes; in the others TCP may bridge the cut. */
static void cut_and_heal(follower *f)
{
    size_t sent = 0;
    for (size_t round = 0; round < ROUNDS; round++) {
        publish_some(sent, EACH);
        sent += EACH;
        wait_for(f, sent, 0);
        size_t idle = look(f).idle;
        netpair_cut_off(round < ROUNDS / 2 ? CUT_SILENTLY : CUT_LINK);
        publish_some(sent, EACH);
        sent += EACH;
        if (round % 2 == 0)
            wait_for(f, 0, idle + 1);
        netpair_heal();
        wait_for(f, sent, 0);
    }
    /* What is published now comes last, so nothing came twice before. */
    publish_some(sent, 1);
    wait_for(f, sent + 1, 0);
    follower end = look(f);
    cr_assert_eq(end.delivered + end.missed, ROUNDS * 2 * EACH + 1);
    cr_assert_geq(end.opens, 1 + ROUNDS / 2);
}

/* Delivery: with the history large enough, no loss, no duplicate, no disorder. */
Test(net, cut_with_enough_history_loses_nothing)
{
    follower f;
    start_server(ARGS("--heartbeat=0.4", "--history=100000"));
    follow_on(&f);
    wait_for(&f, 0, 0);
    cut_and_heal(&f);
    follower end = look(&f);
    cr_assert_eq(end.missed, 0);
    cr_assert_eq(end.gaps, 0);
    leave(&f);
    end_server();
}

/* Delivery: with a history too small, every loss is announced. */
Test(net, cut_with_too_little_history_announces_each_loss)
{
    follower f;
    start_server(ARGS("--heartbeat=0.4", "--history=16"));
    follow_on(&f);
    wait_for(&f, 0, 0);
    cut_and_heal(&f);
    follower end = look(&f);
    cr_assert_geq(end.missed, ROUNDS / 2 * (EACH - 16));
    cr_assert_geq(end.gaps, ROUNDS / 2);
    leave(&f);
    end_server();
}

/* The program, with each line of its output looked at. */
Test(net, sse_sub_resumes_after_a_cut)
{
    start_server(ARGS("--heartbeat=0.4", "--history=100000"));
    proc *sub =
        tool_start("sse-sub", ARGS(server_url(), "--stream=s", "--idle-timeout=1.5", "--retry=20",
                                   "--max-retry=200", "--verbose", text("--count=%d", 3 * EACH)));
    publish_some(0, EACH);
    for (size_t i = 0; i < EACH; i++)
        expect_line(sub, text("%zu", i));
    netpair_cut_off(CUT_SILENTLY);
    publish_some(EACH, EACH);
    cr_assert(proc_wait_stderr(sub, "nothing received for", LONG), "%s", err_of(sub));
    netpair_heal();
    publish_some(2 * EACH, EACH);
    for (size_t i = EACH; i < 3 * EACH; i++)
        expect_line(sub, text("%zu", i));
    tool_end(sub, 0);
    end_server();
}

/* ---- the server's side: conformance 32, a client whose network has gone ---- */

/* How long TCP would take is a quarter of an hour. */
Test(net, a_client_that_vanished_is_noticed_by_the_heartbeat)
{
    follower f;
    start_server(ARGS("--heartbeat=1"));
    follow_on(&f);
    netpair_enter(HOST_SERVER);
    wait_number(&server, "s", "subscribers", 1);
    netpair_cut_off(CUT_SILENTLY);
    leave(&f); /* its FIN is lost */
    netpair_enter(HOST_SERVER);
    wait_number(&server, "s", "subscribers", 0);
    end_server();
}

static bool publish_and_ask(void *arg)
{
    size_t *sent = arg;
    publish_numbers(&server, "s", (*sent)++, 1);
    return stream_number(&server, "s", "subscribers") == 0;
}

/* The ring is so large that it is not closed as slow before. */
Test(net, a_client_that_vanished_is_noticed_while_events_flow)
{
    follower f;
    size_t sent = 0;
    start_server(ARGS("--heartbeat=1", "--buffer=1000000"));
    follow_on(&f);
    netpair_enter(HOST_SERVER);
    wait_number(&server, "s", "subscribers", 1);
    netpair_cut_off(CUT_SILENTLY);
    leave(&f);
    netpair_enter(HOST_SERVER);
    cr_assert(wait_until(publish_and_ask, &sent, LONG), "still there after %zu events", sent);
    end_server();
}

/* A full ring is asked again. */
static bool accepted(void *body)
{
    http_response r = ask(&server, "POST", "/events?stream=s", NULL, body);
    int status = r.status;
    http_response_fini(&r);
    cr_assert(status == 200 || status == 429, "%d", status);
    return status == 200;
}

/* One that is there and does not read has not vanished: what the kernel asks about its full window is answered, more and more
 * rarely. It stays while others that vanish are noticed one after the other, and reads on. */
Test(net, a_client_that_does_not_read_has_not_vanished)
{
    enum { LARGE = 256 << 10, MANY = 64, VANISHING = 4 };
    follower f;
    start_server(ARGS("--heartbeat=1", "--slow-consumer=drop-oldest", "--buffer=8", "--history=1",
                      "--slow-grace=0.05"));
    netpair_enter(HOST_SERVER);
    http_conn *idler = http_connect_rcvbuf(server.port, 4096);
    cr_assert_not_null(idler);
    cr_assert(http_send_request(idler, "GET", "/events?stream=s", NULL, NULL, 0, LONG));
    wait_number(&server, "s", "subscribers", 1);
    char *large = calloc(1, LARGE + 1);
    memset(large, 'x', LARGE);
    for (int i = 0; i < MANY; i++)
        cr_assert(wait_until(accepted, large, LONG));
    free(large);
    wait_at_least(&server, "s", "drops", 1);

    for (int i = 0; i < VANISHING; i++) {
        netpair_heal();
        follow_on(&f);
        netpair_enter(HOST_SERVER);
        wait_number(&server, "s", "subscribers", 2);
        netpair_cut_off(CUT_SILENTLY);
        leave(&f);
        netpair_enter(HOST_SERVER);
        wait_number(&server, "s", "subscribers", 1);
    }

    publish(&server, "s", "&event=last", "the end");
    http_response head;
    http_block block;
    cr_assert(http_read_head(idler, &head, LONG));
    http_response_fini(&head);
    for (bool last = false; !last; http_block_fini(&block)) {
        cr_assert_eq(http_next_event(idler, &block, LONG), HTTP_OK);
        last = block.type && strcmp(block.type, "last") == 0;
    }
    http_close(idler);
    end_server();
}

/* Without heartbeats it is TCP's keepalive that notices: it is on. */
Test(net, keepalive_is_on_without_heartbeats)
{
    follower f;
    int code;
    start_server(ARGS("--heartbeat=0"));
    follow_on(&f);
    netpair_enter(HOST_SERVER);
    wait_number(&server, "s", "subscribers", 1);
    proc *ss = proc_run(ARGS("ss", "-tnoH", "state", "established", "dst", CLIENT_ADDRESS), NULL,
                        LONG, &code);
    cr_assert_not_null(ss);
    cr_assert_eq(code, 0);
    cr_assert_not_null(strstr(out_of(ss), "timer:(keepalive,"), "%s", out_of(ss));
    proc_free(ss);
    netpair_enter(HOST_CLIENT);
    leave(&f);
    end_server();
}
