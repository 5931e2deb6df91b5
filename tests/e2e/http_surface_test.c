/* Every row of the request table and every status that the server answers, seen from a socket. */
#include "e2e.h"
#include "json.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char wire[] = "Content-Type: text/event-stream\r\n";

/* ---- GET /events ---- */

/* conformance 27, 28: an answer without waiting for an event. */
Test(http_surface, subscribe)
{
    hub h = hub_start(ARGS("--stream=s"));
    http_response head;
    http_conn *c = http_open_stream(h.port, "/events?stream=s", NULL, &head, LONG);
    cr_assert_not_null(c);
    cr_assert_str_eq(http_header(&head, "Content-Type"), "text/event-stream");
    cr_assert_str_eq(http_header(&head, "Cache-Control"), "no-cache");
    cr_assert_str_eq(http_header(&head, "X-Accel-Buffering"), "no");
    http_response_fini(&head);
    publish(&h, "s", NULL, "hello");
    expect_data(c, "hello");
    http_close(c);
    hub_end(&h);
}

static void expect_resumed(const hub *h, const char *more, const char *headers)
{
    http_conn *c = follow(h, "s", more, headers);
    expect_data(c, "B");
    expect_data(c, "C");
    http_close(c);
}

/* conformance 31: what came after the id, by header and by query; ids are any text. */
Test(http_surface, last_event_id)
{
    hub h = hub_start(ARGS("--stream=s"));
    publish(&h, "s", "&id=a%20%C3%BC%26", "A");
    publish(&h, "s", "&id=10", "B");
    publish(&h, "s", "&id=9", "C");
    expect_resumed(&h, NULL, "Last-Event-ID: a \xc3\xbc&\r\n");
    expect_resumed(&h, "&lastEventId=a+%c3%bc%26", NULL);
    expect_resumed(&h, "&lastEventId=nonsense", "Last-Event-ID: a \xc3\xbc&\r\n");
    hub_end(&h);
}

/* conformance 31: an id that is not held is a gap, told before what is held. */
Test(http_surface, last_event_id_unknown)
{
    char asked[64];
    hub h = hub_start(ARGS("--stream=s"));
    publish(&h, "s", "&id=one", "A");
    wait_number(&h, "s", "history", 1);
    http_conn *c = follow(&h, "s", NULL, "Last-Event-ID: never \"was\"\r\n");
    http_block b;
    cr_assert_eq(http_next_event(c, &b, LONG), HTTP_OK);
    cr_assert_str_eq(b.type, "gap");
    cr_assert(json_valid(b.data), "%s", b.data);
    cr_assert(json_string(json_member(b.data, "requested"), asked, sizeof asked));
    cr_assert_str_eq(asked, "never \"was\"");
    cr_assert(json_string(json_member(b.data, "oldest"), asked, sizeof asked));
    cr_assert_str_eq(asked, "one");
    http_block_fini(&b);
    expect_data(c, "A");
    http_close(c);
    hub_end(&h);
}

/* ---- POST /events ---- */

Test(http_surface, publish_one)
{
    hub h = hub_start(ARGS("--stream=s"));
    http_conn *c = follow(&h, "s", NULL, NULL);
    http_response r =
        ask(&h, "POST", "/events?stream=s&event=tick&id=my%20id&retry=1500", NULL, "a\nb");
    cr_assert_eq(r.status, 200);
    cr_assert_str_eq(r.body, "my id\n");
    http_response_fini(&r);
    expect_block(c, "my id", "tick", "a\nb", "1500");
    r = ask(&h, "POST", "/events?stream=s", NULL, "plain");
    cr_assert(r.status == 200 && one_line(r.body), "%s", r.body);
    r.body[strlen(r.body) - 1] = '\0';
    expect_block(c, r.body, NULL, "plain", NULL);
    http_response_fini(&r);
    http_close(c);
    hub_end(&h);
}

/* conformance 29 and 30: every line end starts a line of data; empty data is an event. */
Test(http_surface, publish_lines_and_nothing)
{
    hub h = hub_start(ARGS("--stream=s"));
    http_conn *c = follow(&h, "s", NULL, NULL);
    publish(&h, "s", NULL, "a\r\nb\rc\nid: x\n\n: d\n");
    expect_data(c, "a\nb\nc\nid: x\n\n: d\n");
    publish(&h, "s", NULL, "");
    expect_data(c, "");
    publish(&h, "s", NULL, ":starts with a colon");
    expect_data(c, ":starts with a colon");
    http_close(c);
    hub_end(&h);
}

/* One id per event, in order. */
Test(http_surface, publish_many)
{
    hub h = hub_start(ARGS("--stream=s"));
    http_conn *c = follow(&h, "s", NULL, NULL);
    http_response r = ask(&h, "POST", "/events?stream=s", wire,
                          "id: 1\nevent: t\ndata: A\n\nid:2\ndata:B\ndata:b\n\ndata: C\n\n");
    cr_assert_eq(r.status, 200, "%s", r.body);
    cr_assert_eq(strncmp(r.body, "1\n2\n", 4), 0, "%s", r.body);
    cr_assert(one_line(r.body + 4), "%s", r.body);
    http_response_fini(&r);
    expect_block(c, "1", "t", "A", NULL);
    expect_block(c, "2", NULL, "B\nb", NULL);
    expect_data(c, "C");
    /* conformance 30: without data, and nothing is closed. */
    expect(&h, "POST", "/events?stream=s", wire, ": only a comment\n\nretry: 77\n\n", 200, NULL);
    expect_block(c, NULL, NULL, NULL, NULL);
    expect_block(c, NULL, NULL, NULL, "77");
    expect_nothing_before(&h, "s", c, "still open");
    http_close(c);
    hub_end(&h);
}

Test(http_surface, publish_many_all_or_none)
{
    hub h = hub_start(ARGS("--stream=s"));
    http_conn *c = follow(&h, "s", NULL, NULL);
    expect_error(&h, "POST", "/events?stream=s", wire, "data: A\n\ndata: no end\n", 400, "Event 2");
    expect_error(&h, "POST", "/events?stream=s", wire, "data: A\n\nnonsense\n\n", 400, "Line 3");
    expect_error(&h, "POST", "/events?stream=s", wire, "data: A\n\nretry: soon\ndata: B\n\n", 400,
                 "Line 3");
    expect_error(&h, "POST", "/events?stream=s", wire, "", 400, "no event");
    expect_nothing_before(&h, "s", c, "nothing of it");
    http_close(c);
    hub_end(&h);
}

/* ---- DELETE /events ---- */

/* What ends a stream ends its subscribers, after what was published. */
Test(http_surface, remove)
{
    hub h = hub_start(ARGS("--stream=s", "--stream=other"));
    http_conn *c = follow(&h, "s", NULL, NULL);
    publish(&h, "s", NULL, "last words");
    expect(&h, "DELETE", "/events?stream=s", NULL, NULL, 204, NULL);
    expect_data(c, "last words");
    http_block b;
    cr_assert_eq(http_next_event(c, &b, LONG), HTTP_END);
    http_close(c);
    expect_error(&h, "GET", "/events?stream=s", NULL, NULL, 404, "'s'");
    expect_error(&h, "DELETE", "/events?stream=s", NULL, NULL, 404, "'s'");
    publish(&h, "other", NULL, "x");
    hub_end(&h);
}

/* ---- GET /streams, /healthz, /metrics ---- */

Test(http_surface, streams)
{
    char value[64];
    hub h = hub_start(ARGS("--stream=a \"b\"", "--stream=empty"));
    cr_assert_eq(stream_number(&h, "empty", "subscribers"), 0u);
    http_conn *c = follow(&h, "a%20%22b%22", NULL, NULL);
    publish(&h, "a%20%22b%22", "&id=first", "1");
    publish(&h, "a%20%22b%22", "&id=last", "2");
    expect_numbers(c, 1, 2);
    static const char name[] = "a \"b\"";
    cr_assert_eq(stream_number(&h, name, "subscribers"), 1u);
    cr_assert_eq(stream_number(&h, name, "events"), 2u);
    cr_assert_eq(stream_number(&h, name, "history"), 2u);
    cr_assert_eq(stream_number(&h, name, "drops"), 0u);
    http_response r = ask(&h, "GET", "/streams", NULL, NULL);
    cr_assert_str_eq(http_header(&r, "Content-Type"), "application/json");
    const char *object = json_element(r.body, 0);
    cr_assert(json_string(json_member(object, "oldest_id"), value, sizeof value));
    cr_assert_str_eq(value, "first");
    cr_assert(json_string(json_member(object, "newest_id"), value, sizeof value));
    cr_assert_str_eq(value, "last");
    cr_assert_eq(strncmp(json_member(json_element(r.body, 1), "oldest_id"), "null", 4), 0);
    cr_assert_null(json_element(r.body, 2));
    http_response_fini(&r);
    http_close(c);
    wait_number(&h, name, "subscribers", 0);
    hub_end(&h);
}

/* A sample's value, or -1. */
static double metric(const char *body, const char *name)
{
    size_t n = strlen(name);
    for (const char *line = body; line; line = strchr(line, '\n'), line += line != NULL)
        if (strncmp(line, name, n) == 0 && line[n] == ' ')
            return strtod(line + n, NULL);
    return -1;
}

/* Prometheus' text format: comments, or a name (with labels) and a number. */
static void check_line(const char *line, size_t n)
{
    char copy[512], *end;
    cr_assert_lt(n, sizeof copy);
    memcpy(copy, line, n);
    copy[n] = '\0';
    if (strncmp(copy, "# HELP ", 7) == 0 || strncmp(copy, "# TYPE ", 7) == 0)
        return;
    cr_assert(isalpha((unsigned char)*copy), "%s", copy);
    char *space = strrchr(copy, ' ');
    cr_assert_not_null(space, "%s", copy);
    strtod(space + 1, &end);
    cr_assert(end > space + 1 && *end == '\0', "%s", copy);
}

Test(http_surface, metrics)
{
    hub h = hub_start(ARGS("--stream=s"));
    http_conn *c = follow(&h, "s", NULL, NULL);
    publish_numbers(&h, "s", 0, 5);
    expect_numbers(c, 0, 5);
    http_response r = ask(&h, "GET", "/metrics", NULL, NULL);
    cr_assert_eq(r.status, 200);
    cr_assert_eq(strncmp(http_header(&r, "Content-Type"), "text/plain; version=0.0.4", 25), 0);
    for (char *line = r.body, *end; (end = strchr(line, '\n')); line = end + 1)
        check_line(line, (size_t)(end - line));
    cr_assert_eq(metric(r.body, "sse_streams"), 1);
    cr_assert_eq(metric(r.body, "sse_subscribers"), 1);
    cr_assert_eq(metric(r.body, "sse_events_published_total"), 5);
    cr_assert_eq(metric(r.body, "sse_events_delivered_total"), 5);
    http_response_fini(&r);
    http_close(c);
    hub_end(&h);
}

Test(http_surface, healthz)
{
    hub h = hub_start(NULL);
    http_response r = ask(&h, "GET", "/healthz", NULL, NULL);
    cr_assert_eq(r.status, 200);
    cr_assert_str_eq(r.body, "ok\n");
    http_response_fini(&r);
    hub_end(&h);
}

/* ---- other methods ---- */

static void expect_405(const hub *h, const char *method, const char *target, const char *allow)
{
    http_response r = ask(h, method, target, NULL, NULL);
    cr_assert_eq(r.status, 405, "%s %s: %d", method, target, r.status);
    const char *value = http_header(&r, "Allow");
    cr_assert_not_null(value);
    cr_assert_str_eq(value, allow);
    http_response_fini(&r);
    expect_error(h, method, target, NULL, NULL, 405, method);
}

/* conformance 34 */
Test(http_surface, wrong_methods)
{
    hub h = hub_start(ARGS("--stream=s"));
    static const char all[] = "GET, HEAD, POST, DELETE, OPTIONS", read[] = "GET, HEAD, OPTIONS";
    expect_405(&h, "PUT", "/events?stream=s", all);
    expect_405(&h, "PATCH", "/events?stream=s", all);
    expect_405(&h, "BREW", "/events?stream=s", all);
    expect_405(&h, "POST", "/streams", read);
    expect_405(&h, "DELETE", "/healthz", read);
    expect_405(&h, "PUT", "/metrics", read);
    http_response r = ask(&h, "OPTIONS", "/events?stream=s", NULL, NULL);
    cr_assert_eq(r.status, 204);
    cr_assert_str_eq(http_header(&r, "Allow"), all);
    http_response_fini(&r);
    hub_end(&h);
}

/* conformance 34: the head of what GET would answer. */
Test(http_surface, head)
{
    hub h = hub_start(ARGS("--stream=s"));
    static const struct {
        const char *target;
        int status;
        const char *type;
    } rows[] = {{"/events?stream=s", 200, "text/event-stream"},
                {"/events?stream=unknown", 404, "text/plain; charset=utf-8"},
                {"/streams", 200, "application/json"},
                {"/healthz", 200, "text/plain; charset=utf-8"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        http_response r;
        http_conn *c = http_connect(h.port);
        cr_assert(
            http_send_request(c, "HEAD", rows[i].target, "Connection: close\r\n", NULL, 0, LONG));
        cr_assert(http_read_head(c, &r, LONG));
        cr_assert_eq(r.status, rows[i].status, "%s: %d", rows[i].target, r.status);
        cr_assert_str_eq(http_header(&r, "Content-Type"), rows[i].type);
        cr_assert(http_read_body(c, &r, true, LONG));
        http_response_fini(&r);
        http_close(c);
    }
    cr_assert_eq(stream_number(&h, "s", "subscribers"), 0u);
    hub_end(&h);
}

/* conformance 34: HTTP/1.0 has no chunks; the stream ends with the connection. */
Test(http_surface, http_1_0)
{
    hub h = hub_start(ARGS("--stream=s"));
    http_conn *c = http_connect(h.port);
    http_response r;
    cr_assert(http_send_text(c, "GET /events?stream=s HTTP/1.0\r\n\r\n", LONG));
    cr_assert(http_read_head(c, &r, LONG));
    cr_assert_eq(r.status, 200);
    cr_assert_null(http_header(&r, "Transfer-Encoding"));
    cr_assert_null(http_header(&r, "Content-Length"));
    http_response_fini(&r);
    publish(&h, "s", NULL, "old");
    expect_data(c, "old");
    expect(&h, "DELETE", "/events?stream=s", NULL, NULL, 204, NULL);
    http_block b;
    cr_assert_eq(http_next_event(c, &b, LONG), HTTP_END);
    http_close(c);
    hub_end(&h);
}

/* ---- errors ---- */

Test(http_surface, status_400)
{
    hub h = hub_start(ARGS("--stream=s", "--auto-stream"));
    expect_error(&h, "GET", "/events", NULL, NULL, 400, "?stream=NAME");
    expect_error(&h, "GET", "/events?stream=", NULL, NULL, 400, "?stream=NAME");
    expect_error(&h, "POST", "/events", NULL, "x", 400, "?stream=NAME");
    expect_error(&h, "DELETE", "/events", NULL, NULL, 400, "?stream=NAME");
    expect_error(&h, "GET", "/events?stream=a%00b", NULL, NULL, 400, "NUL");
    expect_error(&h, "GET", "/events?stream=a%0Ab", NULL, NULL, 400, NULL);
    /* conformance 29: nothing breaks out of its field. */
    expect_error(&h, "POST", "/events?stream=s&id=a%0Adata:x", NULL, "x", 400, "CR, LF or NUL");
    expect_error(&h, "POST", "/events?stream=s&id=a%0Db", NULL, "x", 400, "CR, LF or NUL");
    expect_error(&h, "POST", "/events?stream=s&id=a%00b", NULL, "x", 400, "CR, LF or NUL");
    expect_error(&h, "POST", "/events?stream=s&event=a%0Ab", NULL, "x", 400, "CR, LF or NUL");
    expect_error(&h, "POST", "/events?stream=s&event=a%00b", NULL, "x", 400, "CR, LF or NUL");
    expect_error(&h, "POST", "/events?stream=s&retry=soon", NULL, "x", 400, "retry");
    cr_assert_eq(stream_number(&h, "s", "events"), 0u);
    cr_assert_eq(stream_count(&h), 1);
    hub_end(&h);
}

Test(http_surface, status_404)
{
    hub h = hub_start(NULL);
    expect_error(&h, "GET", "/events?stream=none", NULL, NULL, 404, "'none'");
    expect_error(&h, "POST", "/events?stream=none", NULL, "x", 404, "'none'");
    expect_error(&h, "GET", "/nothing/here", NULL, NULL, 404, "/nothing/here");
    expect_error(&h, "GET", "/events/", NULL, NULL, 404, "/events/");
    hub_end(&h);
}

Test(http_surface, status_413)
{
    hub h = hub_start(ARGS("--stream=s", "--max-event-bytes=10"));
    expect_error(&h, "POST", "/events?stream=s", NULL, "12345678901", 413, "10 bytes");
    publish(&h, "s", NULL, "1234567890");
    hub_end(&h);
}

/* A subscriber that does not read holds the ring full under --slow-consumer block. */
Test(http_surface, status_429)
{
    hub h = hub_start(ARGS("--stream=s", "--stream=other", "--buffer=4", "--slow-consumer=block"));
    char *big = malloc(1000001);
    memset(big, 'x', 1000000);
    big[1000000] = '\0';
    http_conn *c = http_connect_rcvbuf(h.port, 4096);
    http_response r;
    cr_assert(http_send_request(c, "GET", "/events?stream=s", NULL, NULL, 0, LONG));
    cr_assert(http_read_head(c, &r, LONG));
    http_response_fini(&r);
    int status = 200, accepted = 0;
    for (; status == 200; accepted += status == 200) {
        cr_assert_lt(accepted, 1000, "the ring is never full");
        r = ask(&h, "POST", "/events?stream=s", NULL, big);
        status = r.status;
        if (status == 200)
            http_response_fini(&r);
    }
    cr_assert_eq(status, 429, "%d", status);
    cr_assert_not_null(http_header(&r, "Retry-After"));
    cr_assert_not_null(strstr(r.body, "full"), "%s", r.body);
    http_response_fini(&r);
    publish(&h, "other", NULL, "undisturbed");
    for (int i = 0; i < accepted; i++)
        expect_data(c, big);
    publish(&h, "s", NULL, "room again");
    expect_data(c, "room again");
    http_close(c);
    free(big);
    hub_end(&h);
}

/* While it drains: known connections are told, new ones are not accepted, what is queued is
 * delivered. */
Test(http_surface, status_503)
{
    hub h = hub_start(ARGS("--stream=s", "--drain=600"));
    http_conn *open[2] = {http_connect(h.port), http_connect(h.port)};
    http_response r;
    for (int i = 0; i < 2; i++) {
        cr_assert(http_request(open[i], "GET", "/healthz", NULL, NULL, 0, &r, LONG));
        http_response_fini(&r);
    }
    http_conn *slow = http_connect_rcvbuf(h.port, 4096);
    cr_assert(http_send_request(slow, "GET", "/events?stream=s", NULL, NULL, 0, LONG));
    cr_assert(http_read_head(slow, &r, LONG));
    http_response_fini(&r);
    char *big = malloc(1000001);
    memset(big, 'x', 1000000);
    big[1000000] = '\0';
    for (int i = 0; i < 10; i++)
        publish(&h, "s", NULL, big);
    proc_signal(h.process, SIGTERM);
    int status;
    do {
        cr_assert(http_request(open[0], "GET", "/healthz", NULL, NULL, 0, &r, LONG));
        status = r.status;
        if (status == 503)
            cr_assert(one_line(r.body), "%s", r.body);
        http_response_fini(&r);
    } while (status == 200);
    cr_assert_eq(status, 503);
    cr_assert(http_request(open[1], "POST", "/events?stream=s", NULL, "x", 1, &r, LONG));
    cr_assert_eq(r.status, 503);
    http_response_fini(&r);
    for (int i = 0; i < 10; i++)
        expect_data(slow, big);
    free(big);
    cr_assert_eq(proc_wait(h.process, LONG), 0);
    proc_free(h.process);
    for (int i = 0; i < 2; i++)
        http_close(open[i]);
    http_close(slow);
}

/* Several requests on one connection, a subscription last. */
Test(http_surface, keep_alive)
{
    hub h = hub_start(ARGS("--stream=s"));
    http_conn *c = http_connect(h.port);
    http_response r;
    for (int i = 0; i < 20; i++) {
        const char *body = text("%d", i);
        cr_assert(http_request(c, "POST", "/events?stream=s", NULL, body, strlen(body), &r, LONG));
        cr_assert_eq(r.status, 200);
        http_response_fini(&r);
    }
    cr_assert(http_send_request(c, "GET", "/events?stream=s", NULL, NULL, 0, LONG));
    cr_assert(http_read_head(c, &r, LONG));
    http_response_fini(&r);
    expect_numbers(c, 0, 20);
    http_close(c);
    hub_end(&h);
}
