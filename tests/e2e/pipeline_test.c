/* From sse-pub through sse-server to sse-sub and to the library: what comes out is what went in. */
#include "e2e.h"
#include "json.h"

#include <criterion/criterion.h>
#include <sse/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- with the tools ---- */

static void pipe_through(const char *const server_args[], const char *sub_option,
                         const char *pub_option, const char *input, size_t events, const char *out)
{
    hub h = hub_start(server_args);
    proc *sub = tool_start("sse-sub",
                           ARGS(h.url, "--stream=s", sub_option, "--count", text("%zu", events)));
    wait_number(&h, "s", "subscribers", 1);
    proc_free(tool_run("sse-pub", ARGS(h.url, "--stream=s", pub_option), input, 0));
    int code = proc_wait(sub, LONG);
    cr_assert_eq(code, 0, "%d: %s", code, err_of(sub));
    cr_assert_str_eq(out_of(sub), out);
    proc_free(sub);
    hub_end(&h);
}

static const char lines[] = "plain\n"
                            "\n"
                            "  spaces  \n"
                            "tab\there\n"
                            "data: looks like a field\n"
                            ":looks like a comment\n"
                            "id: 7\n"
                            "\xc3\xa4\xc3\xb6\xc3\xbc \xe2\x82\xac \xf0\x9f\x90\xa7 \xd7\xa9\n"
                            "\"quotes\" \\ backslash\n"
                            "\xef\xbb\xbf"
                            "a BOM\n";
enum { LINES = 10 };

Test(pipeline, lines)
{
    pipe_through(ARGS("--stream=s"), "--format=data", "--lines", lines, LINES, lines);
}

/* features r3labs `EncodeBase64` and `EncodingBase64` */
Test(pipeline, base64_on_both_sides)
{
    pipe_through(ARGS("--stream=s", "--base64"), "--base64", "--lines", lines, LINES, lines);
}

static const char events[] = "id: 1\ndata: A\n\n"
                             "id: 2\nevent: t\ndata: B\ndata: b\ndata:\ndata: \ndata:  c\n\n"
                             "id: \xc3\xa4\ndata\n\n";

Test(pipeline, events_as_json)
{
    pipe_through(ARGS("--stream=s"), "--format=json", "--events", events, 3,
                 "{\"id\":\"1\",\"type\":\"message\",\"data\":\"A\",\"stream\":\"s\"}\n"
                 "{\"id\":\"2\",\"type\":\"t\",\"data\":\"B\\nb\\n\\n\\n c\",\"stream\":\"s\"}\n"
                 "{\"id\":\"\xc3\xa4\",\"type\":\"message\",\"data\":\"\",\"stream\":\"s\"}\n");
}

Test(pipeline, events_as_data)
{
    pipe_through(ARGS("--stream=s"), "--format=data", "--events", events, 3, "A\nB\nb\n\n\n c\n\n");
}

/* sse-sub --format=sse | sse-pub --events: a stream copied to another hub is the same stream. */
Test(pipeline, events_copied_to_another_hub)
{
    hub one = hub_start(ARGS("--stream=s")), two = hub_start(ARGS("--stream=s"));
    proc_free(tool_run("sse-pub", ARGS(one.url, "--stream=s", "--events"), events, 0));
    proc *copy =
        tool_run("sse-sub", ARGS(one.url, "--stream=s", "--format=sse", "--count=3"), NULL, 0);
    proc_free(tool_run("sse-pub", ARGS(two.url, "--stream=s", "--events"), out_of(copy), 0));
    proc *again =
        tool_run("sse-sub", ARGS(two.url, "--stream=s", "--format=sse", "--count=3"), NULL, 0);
    cr_assert_str_eq(out_of(again), out_of(copy));
    proc_free(again);
    proc_free(copy);
    hub_end(&one);
    hub_end(&two);
}

/* Invalid UTF-8 is not passed on by a client, and breaks nothing. */
Test(pipeline, invalid_utf8)
{
    pipe_through(ARGS("--stream=s"), "--format=data", "--lines", "a\xff z\nnext\n", 2,
                 "a\xef\xbf\xbd z\nnext\n");
}

/* ---- big events ---- */

static char *pattern(size_t n, unsigned seed)
{
    char *s = malloc(n + 1);
    cr_assert_not_null(s);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1103515245u + 12345u;
        s[i] = seed >> 16 & 63 ? (char)('0' + (seed >> 20) % 64) : '\n';
    }
    s[n] = '\0';
    return s;
}

/* conformance 16: whole up to the limits, each size around what buffers hold. */
Test(pipeline, sizes)
{
    static const size_t sizes[] = {1, 4095, 4096, 4097, 8191, 8192, 16384, 65536, 100001, 1048576};
    enum { N = sizeof sizes / sizeof sizes[0] };
    hub h = hub_start(ARGS("--stream=s"));
    proc *sub = tool_start("sse-sub", ARGS(h.url, "--stream=s", "--count", text("%d", N)));
    wait_number(&h, "s", "subscribers", 1);
    for (unsigned i = 0; i < N; i++) {
        char *data = pattern(sizes[i], i);
        publish(&h, "s", NULL, data);
        free(data);
    }
    cr_assert_eq(proc_wait(sub, LONG), 0);
    const char *at = out_of(sub);
    for (unsigned i = 0; i < N; i++) {
        char *data = pattern(sizes[i], i);
        cr_assert_eq(strncmp(at, data, sizes[i]), 0, "event %u differs", i);
        cr_assert_eq(at[sizes[i]], '\n');
        at += sizes[i] + 1;
        free(data);
    }
    cr_assert_eq(*at, '\0');
    proc_free(sub);
    hub_end(&h);
}

/* ---- Last-Event-ID ---- */

/* features r3labs `LastEventID`, `EventLog`: what came after it, once. */
Test(pipeline, resumes_where_it_stopped)
{
    hub h = hub_start(ARGS("--stream=s"));
    publish_numbers(&h, "s", 0, 10);
    proc *p = tool_run("sse-sub", ARGS(h.url, "--stream=s", "--format=json", "--count=4"), NULL, 0);
    char id[128] = "";
    for (int i = 0; i < 4; i++) {
        const char *line = proc_read_line(p, LONG);
        cr_assert(line && json_valid(line));
        cr_assert(json_string(json_member(line, "id"), id, sizeof id));
    }
    proc_free(p);
    p = tool_run("sse-sub", ARGS(h.url, "--stream=s", "--last-event-id", id, "--count=6"), NULL, 0);
    cr_assert_str_eq(out_of(p), "4\n5\n6\n7\n8\n9\n");
    proc_free(p);
    hub_end(&h);
}

/* conformance 31: a history too small is told, with what is still there. */
Test(pipeline, gap_when_the_history_is_too_small)
{
    hub h = hub_start(ARGS("--stream=s", "--history=2"));
    publish(&h, "s", "&id=first", "0");
    publish_numbers(&h, "s", 1, 5);
    wait_number(&h, "s", "history", 2);
    proc *p = tool_run(
        "sse-sub", ARGS(h.url, "--stream=s", "--last-event-id=first", "--count=3", "--format=json"),
        NULL, 0);
    char value[512];
    const char *line = proc_read_line(p, LONG);
    cr_assert(json_string(json_member(line, "type"), value, sizeof value));
    cr_assert_str_eq(value, "gap");
    cr_assert(json_string(json_member(line, "data"), value, sizeof value));
    cr_assert(json_valid(value));
    cr_assert_eq(strtol(json_member(value, "missed"), NULL, 10), 3, "%s", value);
    for (int i = 4; i <= 5; i++) {
        line = proc_read_line(p, LONG);
        cr_assert(json_string(json_member(line, "data"), value, sizeof value));
        cr_assert_str_eq(value, text("%d", i));
    }
    proc_free(p);
    hub_end(&h);
}

/* ---- with the library ---- */

enum { STREAMS = 8, EACH = 50 };

/* features r3labs "several subscriptions under one URL by one client", `SubscribeChan`. */
Test(pipeline, several_streams_by_one_client)
{
    const char *args[STREAMS + 1] = {NULL};
    for (int i = 0; i < STREAMS; i++)
        args[i] = text("--stream=s%d", i);
    hub h = hub_start(args);
    sse_client *client;
    sse_chan *chans[STREAMS];
    sse_subscription *subs[STREAMS];
    sse_client_options options = SSE_CLIENT_OPTIONS_INIT;
    options.cacert = trusted();
    cr_assert_eq(sse_client_new(text("%s/events", h.url), &options, &client), SSE_OK);
    for (int i = 0; i < STREAMS; i++) {
        cr_assert_eq(sse_chan_new(NULL, &chans[i]), SSE_OK);
        cr_assert_eq(sse_client_subscribe_chan(client, text("s%d", i), chans[i], &subs[i]), SSE_OK);
    }
    for (int n = 0; n < EACH; n++)
        for (int i = 0; i < STREAMS; i++)
            publish(&h, text("s%d", i), NULL, text("stream %d event %d", i, n));
    for (int i = STREAMS - 1; i >= 0; i--) {
        for (int n = 0; n < EACH; n++) {
            sse_msg *msg;
            cr_assert_eq(sse_chan_recv_timeout(chans[i], LONG, &msg), SSE_OK);
            cr_assert_str_eq(sse_msg_event(msg)->data.ptr, text("stream %d event %d", i, n));
            sse_msg_unref(msg);
        }
        cr_assert_str_eq(sse_subscription_stream(subs[i]), text("s%d", i));
    }
    /* features r3labs `Unsubscribe`: one of them, twice; the others go on. */
    sse_client_unsubscribe(client, chans[0]);
    sse_client_unsubscribe(client, chans[0]);
    publish(&h, "s0", NULL, "unheard");
    publish(&h, "s1", NULL, "heard");
    sse_msg *msg;
    cr_assert_eq(sse_chan_recv_timeout(chans[1], LONG, &msg), SSE_OK);
    cr_assert_str_eq(sse_msg_event(msg)->data.ptr, "heard");
    sse_msg_unref(msg);
    cr_assert_neq(sse_chan_recv_timeout(chans[0], LONG, &msg), SSE_OK, "closed at the end");
    for (int i = 0; i < STREAMS; i++) {
        sse_subscription_free(subs[i]);
        sse_chan_unref(chans[i]);
    }
    sse_client_free(client);
    hub_end(&h);
}
