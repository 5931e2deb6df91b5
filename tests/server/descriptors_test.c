/* Out of descriptors: those that are connected are served, the others wait or are told, and when
 * there are descriptors again everything works as before. */
#include "fixture.h"

#include "cert.h"
#include "hub.h"
#include "loop_internal.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MOST = 256, N = 8 };

static sse_server *server;
static uint16_t port;
static atomic_uint warnings;
static const char *nobody = "none";

static int fillers[MOST];
static size_t nfillers;

static void limit(rlim_t n)
{
    struct rlimit r;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &r), 0);
    r.rlim_cur = n;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &r), 0);
}

/* Leave this many descriptors. */
static void fill_all_but(size_t left)
{
    limit(MOST);
    int fd;
    while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        fillers[nfillers++] = fd;
    cr_assert_eq(errno, EMFILE);
    while (left-- > 0)
        close(fillers[--nfillers]);
}

static void release(void)
{
    while (nfillers > 0)
        close(fillers[--nfillers]);
}

static void on_log(void *user, sse_log_level level, const char *line)
{
    (void)user;
    if (level == SSE_LOG_WARN && strncmp(line, "accept: ", 8) == 0)
        warnings++;
}

static void start(void)
{
    sse_server_options options = fixture_options();
    options.logger = (sse_logger){.fn = on_log};
    options.connect_exempt = &nobody;
    options.connect_exempt_count = 1;
    options.max_connections_per_address = MOST;
    server = serve(&options, &port);
    create(server, "s");
}

static int new_socket(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    return fd;
}

static void connect_tcp(int fd)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
}

static bool subscribe(http_conn *c, const char *stream)
{
    char target[128];
    snprintf(target, sizeof target, "/events?stream=%s", stream);
    return http_send_request(c, "GET", target, NULL, NULL, 0, LONG);
}

/* What somebody can say whom nobody has accepted yet: over TLS that is a hello. */
static http_conn *ask_on(int fd, const char *stream)
{
    http_conn *c = http_wrap(fd);
    cr_assert(!http_secure(c, 0) || subscribe(c, stream));
    return c;
}

/* Say the rest, and read the answer's status; 0: there is none. */
static int answer(http_conn *c, const char *stream)
{
    http_response head;
    if ((cert_tls() && !(http_secure(c, LONG) && subscribe(c, stream))) ||
        !http_read_head(c, &head, LONG))
        return 0;
    int status = head.status;
    http_response_fini(&head);
    return status;
}

static bool all_places_are_back(void *arg)
{
    (void)arg;
    return sse__admission_look(server->admission).addresses == 0;
}

static bool has_failed(void *arg)
{
    return totals(server).accept_errors >= *(uint64_t *)arg && warnings > 0;
}

Test(descriptors, accept_waits_until_there_are_some)
{
    start();
    http_conn *before[N], *c[N];
    int fds[N];
    for (int i = 0; i < N; i++)
        before[i] = join(port, "s");
    for (int i = 0; i < N; i++)
        fds[i] = new_socket(AF_INET);
    fill_all_but(0);
    for (int i = 0; i < N; i++) {
        connect_tcp(fds[i]);
        c[i] = ask_on(fds[i], "s");
    }
    uint64_t one = 1;
    cr_assert(wait_until(has_failed, &one, LONG));
    say_numbers(server, "s", 0, 100);
    for (int i = 0; i < N; i++)
        expect_numbers(before[i], 0, 100);
    cr_assert_eq(stats_of(server, "s").subscribers, N);
    release();
    for (int i = 0; i < N; i++) {
        cr_assert_eq(answer(c[i], "s"), 200);
        expect_numbers(c[i], 0, 100);
    }
    for (int i = 0; i < N; i++) {
        http_close(c[i]);
        http_close(before[i]);
    }
    cr_assert(wait_until(all_places_are_back, NULL, LONG));
    sse_server_free(server);
}

/* Each listener has to come back, not only the one that failed last. */
Test(descriptors, all_listeners_accept_again)
{
    start();
    char path[64], address[80];
    snprintf(path, sizeof path, "/tmp/sse-fds-%ld.sock", (long)getpid());
    snprintf(address, sizeof address, "unix:%s", path);
    cr_assert_eq(sse_server_listen(server, address, NULL, 0), SSE_OK);
    http_close(join(port, "s"));
    wait_subscribers(server, "s", 0);
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strcpy(to.sun_path, path);
    int tcp = new_socket(AF_INET), local = new_socket(AF_UNIX);
    fill_all_but(0);
    connect_tcp(tcp);
    cr_assert_eq(connect(local, (struct sockaddr *)&to, sizeof to), 0);
    http_conn *a = ask_on(tcp, "s"), *b = http_wrap(local);
    cr_assert(subscribe(b, "s")); /* without TLS in any case */
    uint64_t enough = 2 * 2;      /* two loops, two listeners */
    cr_assert(wait_until(has_failed, &enough, LONG));
    release();
    http_response head;
    cr_assert_eq(answer(a, "s"), 200);
    cr_assert(http_read_head(b, &head, LONG) && head.status == 200);
    http_response_fini(&head);
    say(server, "s", "x");
    expect_data(a, "x");
    expect_data(b, "x");
    http_close(a);
    http_close(b);
    for (int i = 0; i < 10; i++)
        http_close(join(port, "s"));
    sse_server_free(server);
}

/* With one descriptor more each time: something is always in the way first, nothing gets stuck. */
Test(descriptors, every_number_of_them)
{
    start();
    http_conn *before = join(port, "s");
    int idle = wait_count_fds(0);
    for (size_t left = 0; left < 12; left++) {
        char name[16];
        snprintf(name, sizeof name, "s%zu", left); /* most in a shard of its own */
        create(server, name);
        int fd = new_socket(AF_INET);
        fill_all_but(left);
        connect_tcp(fd);
        http_conn *c = ask_on(fd, name);
        say(server, "s", "served");
        expect_data(before, "served");
        release();
        (void)answer(c, name); /* it may as well have been closed */
        http_close(c);
        c = join(port, name);
        say(server, name, "x");
        expect_data(c, "x");
        http_close(c);
    }
    wait_subscribers(server, "s", 1);
    http_close(before);
    cr_assert(wait_until(all_places_are_back, NULL, LONG));
    sse_server_free(server);
    cr_assert_lt(wait_count_fds(0), idle);
}

/* A stream that is at home in another shard than those before it. */
static const char *name_of_another_shard(bool used[SSE__SHARDS])
{
    static char name[16];
    static unsigned number;
    uint32_t home;
    do {
        int len = snprintf(name, sizeof name, "far%u", number++);
        home = (uint32_t)sse__strhash(name, (size_t)len) % server->loops[0]->nshards;
    } while (used[home]);
    used[home] = true;
    return name;
}

/* The last descriptors are the connections': none is left for the shards that they belong to. */
Test(descriptors, a_shard_that_runs_does_for_those_that_cannot_start)
{
    enum { FAR = 4 };
    static bool used[SSE__SHARDS];
    static char names[FAR + 1][16];
    if (cert_tls())
        cr_skip_test("a connection over TLS is given to a shard before its stream is known");
    sse_server_options options = fixture_options();
    options.threads = 1;
    options.logger = (sse_logger){.fn = on_log};
    server = serve(&options, &port);
    http_conn *c[FAR + 1];
    int fds[FAR];
    for (int i = 0; i <= FAR; i++) {
        strcpy(names[i], name_of_another_shard(used));
        create(server, names[i]);
    }
    c[FAR] = join(port, names[FAR]);
    cr_assert_eq(shards_after(server, names[FAR]), 1);
    for (int i = 0; i < FAR; i++)
        fds[i] = new_socket(AF_INET);
    fill_all_but(FAR);
    for (int i = 0; i < FAR; i++)
        connect_tcp(fds[i]);
    uint64_t one = 1;
    cr_assert(wait_until(has_failed, &one, LONG), "all are accepted, and no more could be");
    for (int i = 0; i < FAR; i++) {
        c[i] = ask_on(fds[i], names[i]);
        cr_assert_eq(answer(c[i], names[i]), 200);
        cr_assert_eq(shards_after(server, names[i]), 1);
    }
    for (int i = 0; i <= FAR; i++) {
        say(server, names[i], names[i]);
        expect_data(c[i], names[i]);
    }
    release();
    http_close(c[0]);
    wait_subscribers(server, names[0], 0);
    c[0] = join(port, names[0]);
    cr_assert_eq(shards_after(server, names[0]), 2, "its own, now that it can be started");
    for (int i = 0; i <= FAR; i++)
        http_close(c[i]);
    sse_server_free(server);
}

/* Making and listening themselves. */
Test(descriptors, a_server_that_cannot_start_says_so)
{
    int idle = wait_count_fds(0);
    bool made = false, listened = false;
    for (size_t left = 0; !listened && left < 30; left++) {
        sse_server_options options = fixture_options();
        fill_all_but(left);
        server = NULL;
        sse_err err = sse_server_new(&options, &server);
        if (err == SSE_OK) {
            made = true;
            err = sse_server_listen(server, "127.0.0.1:0", NULL, 0);
            listened = err == SSE_OK;
        }
        release();
        cr_assert(err == SSE_OK || err == SSE_ESYS || err == SSE_EADDR, "%s", sse_strerror(err));
        if (server) {
            create(server, "s");
            say(server, "s", "x");
        }
        if (server && !listened)
            cr_assert_eq(sse_server_listen(server, "127.0.0.1:0", NULL, 0), SSE_OK,
                         "a second try works");
        sse_server_free(server);
        cr_assert_eq(wait_count_fds(0), idle);
    }
    cr_assert(made && listened);
}
