/* Which shards connections go to, and that every subscriber is woken when a stream has more of them than the loop wakes at
 * once, whoever leaves meanwhile. */
#include "fixture.h"

#include "hub.h"
#include "loop_internal.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/resource.h>

enum { MANY = 300, FEW = 10, SHARD_FULL = 128, ROUNDS = 6 };

static sse_server *server;
static uint16_t port;
static http_conn *conns[MANY];

static void start(void)
{
    sse_server_options options = fixture_options();
    options.threads = 1;
    server = serve(&options, &port);
}

static void stop(void)
{
    for (size_t i = 0; i < MANY; i++)
        http_close(conns[i]);
    sse_server_stop(server);
    sse_server_free(server);
}

TestSuite(shards, .init = start, .fini = stop);

static void join_many(const char *stream, size_t n)
{
    create(server, stream);
    for (size_t i = 0; i < n; i++)
        conns[i] = join(port, stream);
    wait_subscribers(server, stream, n);
}

/* Connections of the shards that have some, the fullest first; returns how many these shards are. */
static size_t used_shards(uint32_t *most)
{
    const sse__loop *loop = server->loops[0];
    size_t used = 0;
    *most = 0;
    for (uint32_t i = 0; i < loop->nshards; i++) {
        uint32_t n = loop->shards[i] ? loop->shards[i]->connections : 0;
        used += n > 0;
        *most = n > *most ? n : *most;
    }
    /* Counted by the loop's thread. What it has done until the last subscriber joined we know by the stream's mutex; that it goes
     * on counting only from here on it knows by the same. */
    (void)stats_of(server, "s");
    return used;
}

Test(shards, few_subscribers_share_one)
{
    uint32_t most;
    join_many("s", FEW);
    cr_assert_eq(used_shards(&most), 1);
    cr_assert_eq(most, FEW);
}

Test(shards, no_walk_is_longer_than_a_full_one)
{
    uint32_t most;
    join_many("s", MANY);
    cr_assert_eq(used_shards(&most), (MANY + SHARD_FULL - 1) / SHARD_FULL);
    cr_assert_eq(most, SHARD_FULL);
}

Test(shards, all_of_many_are_woken)
{
    join_many("s", MANY);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        say_numbers(server, "s", round, 1);
        for (size_t i = 0; i < MANY; i++)
            expect_numbers(conns[i], round, 1);
    }
}

/* Every second of those that are left goes while the others are woken. */
Test(shards, others_leave_meanwhile)
{
    join_many("s", MANY);
    size_t step = 1;
    for (uint64_t round = 0; round < ROUNDS; round++, step *= 2) {
        for (size_t i = step; i < MANY; i += step * 2) {
            http_reset(conns[i]);
            conns[i] = NULL;
        }
        say_numbers(server, "s", round, 1);
        for (size_t i = 0; i < MANY; i += step * 2)
            expect_numbers(conns[i], round, 1);
    }
    wait_subscribers(server, "s", (MANY + step - 1) / step);
}

/* Each shard takes a descriptor for good: they have what is left when all connections that there may be are there, and a few in any
 * case. */
Test(shards_number, follows_what_connections_leave_of_the_descriptors)
{
    const struct {
        rlim_t limit;
        size_t loops;
        uint64_t connections;
        uint32_t shards;
    } cases[] = {{1024, 1, 1100, 20},    {1024, 1, 500, 524},    {1024, 4, 100, 231},
                 {64, 4, 100000, 16},    {20000, 1, 20600, 400}, {20000, 2, 101000, 200},
                 {20000, 1, 11100, 1024}};
    struct rlimit r;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &r), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        r.rlim_cur = cases[i].limit;
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &r), 0);
        cr_assert_eq(sse__shards_number(cases[i].loops, cases[i].connections), cases[i].shards,
                     "case %zu", i);
    }
}
