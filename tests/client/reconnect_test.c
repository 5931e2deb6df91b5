/* The rules of reconnecting, without time: conformance 18, 19, 22. */
#include "header.h"
#include "reconnect.h"

#include <criterion/criterion.h>

#define ANY_STATUS 0

static sse__reconnect with(uint64_t base, uint64_t max, uint64_t server_max)
{
    sse__reconnect r = {.config = {.base_ms = base, .max_ms = max, .server_max_ms = server_max}};
    return r;
}

static sse__outcome failed(sse_err err, int status)
{
    sse__outcome o = {.err = err, .http_status = status};
    return o;
}

/* An end after a connection that delivered something. */
static sse__outcome lived(void)
{
    sse__outcome o = {.err = SSE_EEOF, .opened = true, .delivered = true};
    return o;
}

static bool ends(sse_err err, int status)
{
    sse__reconnect r = with(1000, 30000, 3600000);
    sse__outcome o = failed(err, status);
    sse__decision d = sse__reconnect_next(&r, &o, 0);
    cr_assert_eq(d.stop, sse__is_final(&o));
    cr_assert(!d.stop || d.why == err);
    return d.stop;
}

/* random 0 is the upper end of the jitter, UINT64_MAX near the lower one. */
static uint64_t delay_after(sse__reconnect *r, sse__outcome o, uint64_t random)
{
    sse__decision d = sse__reconnect_next(r, &o, random);
    cr_assert(!d.stop);
    return d.delay_ms;
}

Test(conformance_18, content_type)
{
    cr_assert(sse__is_event_stream("text/event-stream"));
    cr_assert(sse__is_event_stream("text/event-stream; charset=utf-8"));
    cr_assert(sse__is_event_stream("text/event-stream;charset=windows-1252"));
    cr_assert(sse__is_event_stream("Text/Event-STREAM"));
    cr_assert(sse__is_event_stream(" text/event-stream ; x"));
    cr_assert_not(sse__is_event_stream(NULL));
    cr_assert_not(sse__is_event_stream(""));
    cr_assert_not(sse__is_event_stream("text/event-streams"));
    cr_assert_not(sse__is_event_stream("text/event-strea"));
    cr_assert_not(sse__is_event_stream("text/plain; text/event-stream"));
    cr_assert_not(sse__is_event_stream("text/event-stream, text/html"));
}

Test(conformance_18, only_a_200_opens)
{
    cr_assert_eq(sse__judge(200, "text/event-stream"), SSE_OK);
    cr_assert_eq(sse__judge(200, "text/html"), SSE_ECONTENT);
    cr_assert_eq(sse__judge(200, NULL), SSE_ECONTENT);
    cr_assert_eq(sse__judge(201, "text/event-stream"), SSE_EHTTP);
    cr_assert_eq(sse__judge(206, "text/event-stream"), SSE_EHTTP);
}

Test(conformance_19, judgement_of_statuses)
{
    cr_assert_eq(sse__judge(204, NULL), SSE_ESTOPPED);
    cr_assert_eq(sse__judge(205, "text/event-stream"), SSE_EHTTP);
    cr_assert_eq(sse__judge(404, "text/event-stream"), SSE_EHTTP);
    cr_assert_eq(sse__judge(500, NULL), SSE_EHTTP);
    const int redirects[] = {301, 302, 303, 307, 308};
    for (size_t i = 0; i < 5; i++)
        cr_assert_eq(sse__judge(redirects[i], NULL), SSE_EREDIRECT);
    cr_assert_eq(sse__judge(304, NULL), SSE_EHTTP);
}

Test(conformance_19, what_is_final)
{
    const int final[] = {201, 205, 300, 304, 400, 401, 403, 404, 405, 410, 451};
    const int passing[] = {408, 425, 429, 500, 502, 503, 504, 599};
    for (size_t i = 0; i < sizeof final / sizeof final[0]; i++)
        cr_assert(ends(SSE_EHTTP, final[i]), "%d", final[i]);
    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++)
        cr_assert_not(ends(SSE_EHTTP, passing[i]), "%d", passing[i]);
    const sse_err ended[] = {SSE_ESTOPPED, SSE_ECONTENT, SSE_EREDIRECT, SSE_EINVAL};
    const sse_err again[] = {SSE_EEOF,     SSE_ENETWORK, SSE_ECONNECT, SSE_ERESOLVE, SSE_ETLS,
                             SSE_ETIMEOUT, SSE_EIDLE,    SSE_ENOMEM,   SSE_ESYS,     SSE_EREJECTED};
    for (size_t i = 0; i < sizeof ended / sizeof ended[0]; i++)
        cr_assert(ends(ended[i], ANY_STATUS), "%s", sse_errname(ended[i]));
    for (size_t i = 0; i < sizeof again / sizeof again[0]; i++)
        cr_assert_not(ends(again[i], ANY_STATUS), "%s", sse_errname(again[i]));
}

Test(conformance_19, rejected_for_good_is_final)
{
    sse__outcome o = failed(SSE_EREJECTED, 200);
    o.rejected_for_good = true;
    cr_assert(sse__is_final(&o));
}

Test(conformance_19, retry_after_is_honoured)
{
    sse__reconnect r = with(1000, 30000, 3600000);
    sse__outcome o = failed(SSE_EHTTP, 429);
    o.retry_after_ms = 120000;
    cr_assert_eq(delay_after(&r, o, 7), 120000);
    o.retry_after_ms = UINT64_MAX;
    cr_assert_eq(delay_after(&r, o, 7), 3600000);
}

Test(conformance_22, own_delay_grows_to_the_cap)
{
    sse__reconnect r = with(1000, 30000, 3600000);
    const uint64_t want[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        cr_assert_eq(delay_after(&r, failed(SSE_ECONNECT, 0), 0), want[i], "attempt %zu", i);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(delay_after(&r, failed(SSE_ECONNECT, 0), 0), 30000);
}

Test(conformance_22, jitter_stays_in_the_upper_half)
{
    uint64_t lowest = UINT64_MAX, highest = 0;
    for (uint64_t random = 0; random < 5000; random++) {
        sse__reconnect r = with(1000, 30000, 3600000);
        uint64_t d = delay_after(&r, failed(SSE_ECONNECT, 0), random);
        lowest = d < lowest ? d : lowest;
        highest = d > highest ? d : highest;
    }
    cr_assert_eq(lowest, 500);
    cr_assert_eq(highest, 1000);
}

Test(conformance_22, back_to_the_base_after_a_connection_that_lived)
{
    sse__reconnect r = with(1000, 30000, 3600000);
    for (int i = 0; i < 10; i++)
        delay_after(&r, failed(SSE_ECONNECT, 0), 0);
    cr_assert_eq(delay_after(&r, lived(), 0), 1000);
    cr_assert_eq(delay_after(&r, failed(SSE_ECONNECT, 0), 0), 1000);
    cr_assert_eq(delay_after(&r, failed(SSE_ECONNECT, 0), 0), 2000);
    sse__outcome old = {.err = SSE_ENETWORK, .opened = true, .lived_ms = SSE__LIVED_MS};
    cr_assert_eq(delay_after(&r, old, 0), 1000);
}

Test(conformance_22, opening_alone_does_not_reset_the_delay)
{
    sse__reconnect r = with(1000, 30000, 3600000);
    sse__outcome empty = {.err = SSE_EEOF, .opened = true, .lived_ms = SSE__LIVED_MS - 1};
    cr_assert_eq(delay_after(&r, empty, 0), 1000);
    cr_assert_eq(delay_after(&r, empty, 0), 2000);
    cr_assert_eq(delay_after(&r, empty, 0), 4000);
}

Test(conformance_22, server_retry_to_the_millisecond)
{
    sse__reconnect r = with(1000, 30000, 3600000);
    sse__reconnect_server_retry(&r, 12345);
    for (uint64_t random = 0; random < 100; random++)
        cr_assert_eq(delay_after(&r, lived(), random), 12345);
    sse__reconnect_server_retry(&r, 90000); /* longer than our own cap */
    cr_assert_eq(delay_after(&r, lived(), 3), 90000);
    sse__reconnect_server_retry(&r, 0);
    cr_assert_eq(delay_after(&r, lived(), 3), 0);
}

Test(conformance_22, a_server_that_is_down_is_not_hammered_on_its_word)
{
    sse__reconnect r = with(1000, 30000, 3600000);
    sse__reconnect_server_retry(&r, 0);
    cr_assert_eq(delay_after(&r, failed(SSE_ECONNECT, 0), 0), 0);
    const uint64_t want[] = {20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10240, 20480, 30000};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        cr_assert_eq(delay_after(&r, failed(SSE_ECONNECT, 0), 0), want[i]);
}

Test(conformance_22, never_sooner_than_the_server_asked)
{
    sse__reconnect r = with(1000, 30000, 3600000);
    sse__reconnect_server_retry(&r, 700);
    for (uint64_t random = 0; random < 2000; random += 7)
        cr_assert_geq(delay_after(&r, failed(SSE_ECONNECT, 0), random), 700);
}

Test(conformance_13, retry_without_bounds_neither_overflows_nor_shortens)
{
    sse__reconnect r = with(1000, 30000, 3600000);
    sse__reconnect_server_retry(&r, UINT64_MAX);
    for (int i = 0; i < 200; i++)
        cr_assert_eq(delay_after(&r, failed(SSE_ECONNECT, 0), UINT64_MAX), 3600000);
    cr_assert_eq(delay_after(&r, lived(), 1), 3600000);
    sse__reconnect capped = with(1000, 50, 50);
    sse__reconnect_server_retry(&capped, UINT64_MAX);
    cr_assert_eq(delay_after(&capped, lived(), 1), 50);
}

Test(reconnect, misses_saturate)
{
    sse__reconnect r = with(UINT64_MAX / 2, UINT64_MAX, UINT64_MAX);
    r.misses = r.attempts = UINT32_MAX;
    cr_assert_eq(delay_after(&r, failed(SSE_ECONNECT, 0), 0), UINT64_MAX);
    cr_assert_eq(r.misses, UINT32_MAX);
    cr_assert_eq(r.attempts, UINT32_MAX);
}

Test(reconnect, max_attempts_counts_failures_without_an_open)
{
    sse__reconnect r = with(1, 1, 1);
    r.config.max_attempts = 3;
    sse__outcome refused = failed(SSE_ECONNECT, 0);
    delay_after(&r, refused, 0);
    delay_after(&r, refused, 0);
    sse__reconnect_opened(&r);
    sse__outcome broke = {.err = SSE_ENETWORK, .opened = true};
    delay_after(&r, broke, 0);
    delay_after(&r, refused, 0);
    delay_after(&r, refused, 0);
    sse__decision d = sse__reconnect_next(&r, &refused, 0);
    cr_assert(d.stop && d.by_limit);
    cr_assert_eq(d.why, SSE_EGAVEUP);
}

Test(reconnect, without_reconnection_a_good_end_is_no_defeat)
{
    sse__reconnect r = with(1, 1, 1);
    r.config.no_reconnect = true;
    sse__outcome end = lived(), broke = failed(SSE_ENETWORK, 0);
    cr_assert_eq(sse__reconnect_next(&r, &end, 0).why, SSE_EEOF);
    cr_assert_eq(sse__reconnect_next(&r, &broke, 0).why, SSE_EGAVEUP);
    sse__outcome stopped = failed(SSE_ESTOPPED, 204);
    cr_assert_eq(sse__reconnect_next(&r, &stopped, 0).why, SSE_ESTOPPED);
}
