/* The scanner of event streams; see scan.h. Invariant: between calls line_len > 0 means that the
 * line's first bytes are in keep[]; a whole line is always looked at where it lies. */
#include "scan.h"

void scan_init(scan *s, uint32_t stream)
{
    memset(s, 0, sizeof *s);
    s->stream = stream;
}

/* ---- numbers ---- */

/* A number that is not the next one. `seen` remembers the last 64, which tells a late one from one
 * that came twice. */
static void track_unexpected(scan *s, tally *t, uint64_t seq)
{
    if (seq > s->next) {
        uint64_t skipped = seq - s->next;
        t->lost += (int64_t)skipped;
        s->seen = skipped >= 63 ? 1 : s->seen << (skipped + 1) | 1;
        s->next = seq + 1;
        return;
    }
    uint64_t back = s->next - 1 - seq;
    if (back < 64 && !(s->seen >> back & 1)) {
        s->seen |= (uint64_t)1 << back;
        t->lost--;
        t->misordered++;
    } else {
        t->duplicated++;
    }
}

static inline void track(scan *s, tally *t, const stamp *st, uint64_t now)
{
    t->stamped++;
    if (st->stream != s->stream) {
        t->misdelivered++;
        return;
    }
    if (st->seq == s->next) {
        s->next++;
        s->seen = s->seen << 1 | 1;
    } else {
        track_unexpected(s, t, st->seq);
    }
    if (st->time_ns >= t->window_from && st->time_ns < t->window_to)
        histogram_add(&t->latency, now > st->time_ns ? now - st->time_ns : 0);
}

/* ---- lines ---- */

static inline void dispatch(scan *s, tally *t, uint64_t now)
{
    if (s->has_data) {
        t->events++;
        t->gaps += s->is_gap;
        if (s->stamped)
            track(s, t, &s->pending, now);
    }
    s->has_data = s->stamped = s->is_gap = false;
}

/* A data line whose value is `len` bytes, of which the first STAMP_BYTES at least are at `value`
 * when it is so long. */
static inline void take_data(scan *s, tally *t, const char *value, uint64_t len)
{
    bool first = !s->has_data;
    s->has_data = true;
    const stamp *st = len >= STAMP_BYTES && first ? stamp_read_next(&t->stamps, value) : NULL;
    if (!st || st->run != t->run)
        return;
    s->pending = *st;
    s->stamped = true;
    if (len != t->payload)
        t->misdelivered++;
}

/* A whole line; `first` holds its first bytes, SCAN_KEEP of them when it is longer. */
static void take_line(scan *s, tally *t, const char *first, uint64_t len, uint64_t now)
{
    if (len == 0) {
        dispatch(s, t, now);
    } else if (first[0] == ':') {
        t->comments++;
    } else if (len >= 4 && memcmp(first, "data", 4) == 0 && (len == 4 || first[4] == ':')) {
        unsigned skip = len > 5 && first[5] == ' ' ? 6 : 5;
        take_data(s, t, first + skip, len > skip ? len - skip : 0);
    } else if (len >= 9 && memcmp(first, "event:", 6) == 0) {
        const char *type = first + (first[6] == ' ' ? 7 : 6);
        s->is_gap = first + len - type == 3 && memcmp(type, "gap", 3) == 0;
    }
}

static void keep(scan *s, const char *bytes, size_t n)
{
    if (s->line_len < SCAN_KEEP) {
        size_t room = SCAN_KEEP - (size_t)s->line_len;
        memcpy(s->keep + s->line_len, bytes, n < room ? n : room);
    }
    s->line_len += n;
}

/* The first CR or LF, or NULL. */
static const char *line_end(const char *p, const char *end)
{
    const char *lf = memchr(p, '\n', (size_t)(end - p));
    const char *cr = memchr(p, '\r', (size_t)((lf ? lf : end) - p));
    return cr ? cr : lf;
}

/* A BOM at the start, in one piece or in several, is not part of the first line. */
static bool is_bom(scan *s, const char *line, uint64_t len)
{
    return !s->started && len >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0;
}

static void end_line(scan *s, tally *t, const char *line, uint64_t len, uint64_t now)
{
    char whole[SCAN_KEEP];
    if (is_bom(s, line, len)) {
        uint64_t have = len < SCAN_KEEP ? len : SCAN_KEEP;
        memset(whole, 0, sizeof whole);
        memcpy(whole, line + 3, (size_t)have - 3);
        line = whole;
        len -= 3;
    }
    s->started = true;
    take_line(s, t, line, len, now);
}

/* The case that matters: "data: ", a stamped payload of the known length and the empty line after
 * it, in one piece. Returns what follows, or NULL when it is anything else. */
static inline const char *whole_event(scan *s, tally *t, const char *p, const char *end,
                                      uint64_t now)
{
    size_t line = 6 + (size_t)t->payload;
    if ((size_t)(end - p) < line + 2 || p[line] != '\n' || p[line + 1] != '\n' ||
        memcmp(p, "data: B1:", 9) != 0 || s->has_data)
        return NULL;
    /* A payload of ours holds no line ends; only bytes of somebody else's could. */
    const stamp *st = stamp_read_next(&t->stamps, p + 6);
    if (!st || st->run != t->run || p[line - 1] == '\r')
        return NULL;
    t->events++;
    t->gaps += s->is_gap;
    s->is_gap = false;
    track(s, t, st, now);
    return p + line + 2;
}

void scan_feed(scan *s, tally *t, const char *bytes, size_t n, uint64_t now)
{
    const char *p = bytes, *end = bytes + n;
    while (p < end) {
        if (s->after_cr) {
            s->after_cr = false;
            if (*p == '\n') {
                p++;
                continue;
            }
        }
        if (s->line_len == 0 && *p == 'd' && s->started) {
            const char *next = whole_event(s, t, p, end, now);
            if (next) {
                p = next;
                continue;
            }
        }
        const char *eol = line_end(p, end);
        if (!eol) {
            keep(s, p, (size_t)(end - p));
            return;
        }
        if (s->line_len > 0) {
            keep(s, p, (size_t)(eol - p));
            uint64_t len = s->line_len;
            s->line_len = 0;
            end_line(s, t, s->keep, len, now);
        } else {
            end_line(s, t, p, (uint64_t)(eol - p), now);
        }
        s->after_cr = *eol == '\r';
        p = eol + 1;
    }
}
