/* Generated ids: what they look like, and that nothing else is taken for one. */
#include "hub.h"
#include "subscriber.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sse__stream *new_stream(sse_server *server, const char *name)
{
    sse__stream *st;
    cr_assert_eq(sse_server_create_stream(server, name, NULL), SSE_OK);
    cr_assert_eq(sse__hub_stream(server, name, false, &st), SSE_OK);
    return st;
}

static bool parse(const sse__stream *st, const char *id, uint64_t *seq)
{
    return sse__stream_parse_id(st, sse_cstr(id), seq);
}

Test(stream_id, goes_there_and_back)
{
    sse_server *server;
    cr_assert_eq(sse_server_new(NULL, &server), SSE_OK);
    sse__stream *st = new_stream(server, "a");
    static const uint64_t numbers[] = {0, 1, 9, 10, 4294967296u, UINT64_C(9999999999999999999)};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char id[SSE__ID_MAX];
        uint64_t seq = 0;
        sse__stream_format_id(st, numbers[i], id);
        cr_assert_eq(strspn(id, "0123456789abcdef"), 12, "an epoch of twelve digits: %s", id);
        cr_assert_eq(id[12], '-');
        cr_assert(parse(st, id, &seq), "%s", id);
        cr_assert_eq(seq, numbers[i]);
    }
    sse__stream_unref(st);
    sse_server_free(server);
}

Test(stream_id, nothing_else_is_one)
{
    sse_server *server;
    cr_assert_eq(sse_server_new(NULL, &server), SSE_OK);
    sse__stream *st = new_stream(server, "a");
    char epoch[SSE__ID_MAX];
    sse__stream_format_id(st, 1, epoch);
    epoch[13] = '\0';
    static const char *const tails[] = {"",   "x",  "1x",  " 1",  "1 ",
                                        "-1", "+1", "0x1", "1.0", "12345678901234567890"};
    uint64_t seq;
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        char id[64];
        snprintf(id, sizeof id, "%s%s", epoch, tails[i]);
        cr_assert_not(parse(st, id, &seq), "%s", id);
    }
    cr_assert_not(parse(st, "", &seq));
    cr_assert_not(parse(st, "1", &seq));
    cr_assert_not(sse__stream_parse_id(st, (sse_str){epoch, 5}, &seq));
    sse__stream_unref(st);
    sse_server_free(server);
}

Test(stream_id, epochs_differ)
{
    sse_server *servers[2];
    sse__stream *streams[4];
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(sse_server_new(NULL, &servers[i]), SSE_OK);
        streams[i * 2] = new_stream(servers[i], "a");
        streams[i * 2 + 1] = new_stream(servers[i], "b");
    }
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 4; k++) {
            char id[SSE__ID_MAX];
            uint64_t seq;
            sse__stream_format_id(streams[i], 3, id);
            cr_assert_eq(parse(streams[k], id, &seq), i == k);
        }
    for (int i = 0; i < 4; i++)
        sse__stream_unref(streams[i]);
    for (int i = 0; i < 2; i++)
        sse_server_free(servers[i]);
}

/* In the id of a connection with several streams; what clients do not take for one (event_test) is none here either. */
Test(stream_id, is_found_among_those_of_other_streams)
{
    sse_server *server;
    cr_assert_eq(sse_server_new(NULL, &server), SSE_OK);
    atomic_store(&server->epoch, UINT64_C(0xabcdef012345));
    sse__stream *st = new_stream(server, "a");
    static const char *const good[] = {"a abcdef012345-7", "b 000000000001-1,abcdef012345-7",
                                       "b abcdef012345-7,000000000001-1 abcdef012345-8"};
    static const char *const bad[] = {"",
                                      "a",
                                      "abcdef012345-7",
                                      " abcdef012345-7",
                                      "a ABCDEF012345-7",
                                      "a abcdef012345-7,",
                                      "a abcdef012345-7,x",
                                      "a 000000000001-1 abcdef012345-7",
                                      "a abcdef012345-12345678901234567890"};
    uint64_t seq = 0;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++, seq = 0) {
        cr_assert(sse__together_find(st, sse_cstr(good[i]), &seq), "%s", good[i]);
        cr_assert_eq(seq, 7);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_not(sse__together_find(st, sse_cstr(bad[i]), &seq), "%s", bad[i]);

    char id[32 * SSE__TOGETHER] = "a abcdef012345-7";
    for (int n = 2; n <= SSE__TOGETHER + 1; n++) {
        strcat(id, ",000000000001-1");
        cr_assert_eq(sse__together_find(st, sse_cstr(id), &seq), n <= SSE__TOGETHER, "%d", n);
    }
    sse__stream_unref(st);
    sse_server_free(server);
}
