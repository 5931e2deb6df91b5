/* The load client's scanner: what it counts, however the stream is cut, and that it sees what is
 * lost, doubled, late or somebody else's. */
#include "scan.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define RUN 0xabcdef01u
#define PAYLOAD 100

typedef struct fixture {
    tally *t;
    scan s;
    char bytes[200000];
    size_t n;
} fixture;

static fixture *fresh(void)
{
    fixture *f = calloc(1, sizeof *f);
    cr_assert_not_null(f);
    f->t = calloc(1, sizeof *f->t);
    cr_assert_not_null(f->t);
    f->t->run = RUN;
    f->t->payload = PAYLOAD;
    f->t->window_to = 1000000;
    scan_init(&f->s, 7);
    return f;
}

static void done(fixture *f)
{
    free(f->t);
    free(f);
}

static void again(fixture *f)
{
    memset(f->t, 0, sizeof *f->t);
    f->t->run = RUN;
    f->t->payload = PAYLOAD;
    f->t->window_to = 1000000;
    scan_init(&f->s, 7);
}

static void put(fixture *f, const char *text)
{
    size_t n = strlen(text);
    cr_assert_lt(f->n + n, sizeof f->bytes);
    memcpy(f->bytes + f->n, text, n);
    f->n += n;
}

static void payload_of(char out[PAYLOAD + 1], uint32_t run, uint32_t stream, uint64_t seq)
{
    stamp_init(out, PAYLOAD, run, stream);
    stamp_set(out, seq, 1000 + seq);
    out[PAYLOAD] = '\0';
}

static void put_event(fixture *f, uint64_t seq, const char *eol)
{
    char payload[PAYLOAD + 1], text[256];
    payload_of(payload, RUN, 7, seq);
    snprintf(text, sizeof text, "id: 00-%llu%sdata: %s%s%s", (unsigned long long)seq, eol, payload,
             eol, eol);
    put(f, text);
}

static void feed(fixture *f, size_t piece)
{
    for (size_t at = 0; at < f->n; at += piece)
        scan_feed(&f->s, f->t, f->bytes + at, f->n - at < piece ? f->n - at : piece, 5000);
}

Test(bench_scan, stamps_come_back_and_only_hexadecimal_ones)
{
    char payload[PAYLOAD + 1];
    stamp st;
    stamp_init(payload, PAYLOAD, 0xfedcba98u, 0xabcdef);
    stamp_set(payload, UINT64_C(0x123456789abc), UINT64_C(0xfedcba9876543210));
    cr_assert(stamp_read(payload, &st));
    cr_assert_eq(st.run, 0xfedcba98u);
    cr_assert_eq(st.stream, 0xabcdefu);
    cr_assert_eq(st.seq, UINT64_C(0x123456789abc));
    cr_assert_eq(st.time_ns, UINT64_C(0xfedcba9876543210));
    for (int c = 1; c < 256; c++) {
        bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        payload[STAMP_TIME + 3] = (char)c;
        cr_assert_eq(stamp_read(payload, &st), digit, "character %d", c);
    }
}

Test(bench_scan, a_cache_of_stamps_changes_nothing)
{
    char payload[PAYLOAD + 1];
    stamp_cache cache = {0};
    uint64_t seq = 1, time_ns = 1;
    for (int i = 0; i < 100; i++) {
        stamp_init(payload, PAYLOAD, RUN + (uint32_t)(i / 50), (uint32_t)(i % 3));
        stamp_set(payload, seq & UINT64_C(0xffffffffffff), time_ns);
        const stamp *st = stamp_read_next(&cache, payload);
        cr_assert_not_null(st);
        cr_assert_eq(st->seq, seq & UINT64_C(0xffffffffffff));
        cr_assert_eq(st->time_ns, time_ns);
        cr_assert_eq(st->stream, (uint32_t)(i % 3));
        cr_assert_eq(st->run, RUN + (uint32_t)(i / 50));
        seq = seq * 7 + 3;
        time_ns = time_ns * 11 + 5;
    }
    payload[STAMP_SEQ + 6] = 'x';
    cr_assert_null(stamp_read_next(&cache, payload));
}

Test(bench_scan, counts_the_same_for_any_cut_and_any_line_end)
{
    static const char *const eols[] = {"\n", "\r\n", "\r"};
    static const size_t pieces[] = {1, 2, 3, 7, 53, 64, 109, 1000, 200000};
    fixture *f = fresh();
    for (size_t e = 0; e < 3; e++)
        for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
            again(f);
            f->n = 0;
            put(f, "\xef\xbb\xbf: hello\n\n");
            for (uint64_t seq = 0; seq < 300; seq++)
                put_event(f, seq, eols[e]);
            feed(f, pieces[i]);
            cr_assert_eq(f->t->events, 300, "line end %zu, pieces of %zu: %llu", e, pieces[i],
                         (unsigned long long)f->t->events);
            cr_assert_eq(f->t->stamped, 300);
            cr_assert_eq(f->t->lost, 0);
            cr_assert_eq(f->t->duplicated + f->t->misordered + f->t->misdelivered, 0);
            cr_assert_eq(f->t->comments, 1);
            cr_assert_eq(f->t->latency.count, 300);
            cr_assert_eq(f->t->latency.max, 4000);
            cr_assert_eq(f->s.next, 300);
        }
    done(f);
}

Test(bench_scan, a_stamped_first_line_behind_a_mark_counts)
{
    for (size_t piece = 1; piece < 200; piece++) {
        fixture *f = fresh();
        char payload[PAYLOAD + 1], text[256];
        payload_of(payload, RUN, 7, 0);
        snprintf(text, sizeof text,
                 "\xef\xbb\xbf"
                 "data: %s\n\n",
                 payload);
        put(f, text);
        feed(f, piece);
        cr_assert_eq(f->t->stamped, 1, "pieces of %zu", piece);
        done(f);
    }
}

Test(bench_scan, events_of_others_are_counted_but_not_tracked)
{
    for (size_t piece = 1; piece < 40; piece++) {
        fixture *f = fresh();
        char payload[PAYLOAD + 1], text[256];
        payload_of(payload, RUN + 1, 7, 99);
        snprintf(text, sizeof text, "data: %s\n\n", payload);
        put(f, text); /* of another run */
        put(f, "data\n\ndata:x\n\ndata: a\ndata: b\n\nevent: gap\ndata: {}\n\n");
        put(f, "id: 4\nevent: x\nretry: 5\n\ndatax: no\n\nDATA: no\n\n: data: no\n\n");
        feed(f, piece);
        cr_assert_eq(f->t->events, 5, "pieces of %zu: %llu", piece,
                     (unsigned long long)f->t->events);
        cr_assert_eq(f->t->stamped, 0);
        cr_assert_eq(f->t->gaps, 1);
        cr_assert_eq(f->t->comments, 1);
        done(f);
    }
}

static void sequence(fixture *f, const uint64_t *seqs, size_t n)
{
    again(f);
    f->n = 0;
    for (size_t i = 0; i < n; i++)
        put_event(f, seqs[i], "\n");
    feed(f, 4096);
}

Test(bench_scan, losses_doubles_and_disorder_are_told_apart)
{
    fixture *f = fresh();
    sequence(f, (const uint64_t[]){0, 1, 3, 4}, 4);
    cr_assert_eq(f->t->lost, 1);
    cr_assert_eq(f->t->duplicated + f->t->misordered, 0);

    sequence(f, (const uint64_t[]){0, 1, 1, 2, 0}, 5);
    cr_assert_eq(f->t->duplicated, 2);
    cr_assert_eq(f->t->lost, 0);
    cr_assert_eq(f->t->misordered, 0);

    sequence(f, (const uint64_t[]){0, 2, 1, 3}, 4);
    cr_assert_eq(f->t->misordered, 1);
    cr_assert_eq(f->t->lost, 0, "it came late, so it is not lost");
    cr_assert_eq(f->t->duplicated, 0);

    sequence(f, (const uint64_t[]){0, 2, 1, 1, 3}, 5);
    cr_assert_eq(f->t->misordered, 1);
    cr_assert_eq(f->t->duplicated, 1);

    sequence(f, (const uint64_t[]){5}, 1);
    cr_assert_eq(f->t->lost, 5, "the first ones count too");

    sequence(f, (const uint64_t[]){0, 200, 199}, 3);
    cr_assert_eq(f->t->lost, 198);
    cr_assert_eq(f->t->misordered, 1);
    done(f);
}

Test(bench_scan, events_of_another_stream_or_length_are_noticed)
{
    fixture *f = fresh();
    char payload[PAYLOAD + 1], text[256];
    payload_of(payload, RUN, 8, 0);
    snprintf(text, sizeof text, "data: %s\n\n", payload);
    put(f, text);
    payload_of(payload, RUN, 7, 0);
    snprintf(text, sizeof text, "data: %.*s\n\n", PAYLOAD - 1, payload);
    put(f, text);
    feed(f, 4096);
    cr_assert_eq(f->t->stamped, 2);
    cr_assert_eq(f->t->misdelivered, 2);
    done(f);
}

Test(bench_scan, latency_counts_for_what_was_due_in_the_window_only)
{
    fixture *f = fresh();
    f->t->window_from = 1010; /* event k is due at 1000 + k */
    f->t->window_to = 1020;
    for (uint64_t seq = 0; seq < 100; seq++)
        put_event(f, seq, "\n");
    feed(f, 200000);
    cr_assert_eq(f->t->latency.count, 10);
    cr_assert_eq(f->t->latency.max, 5000 - 1010);
    done(f);
}
