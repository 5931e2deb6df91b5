/* Incremental parser for text/event-stream.
 *
 * Threads: one at a time; no locks, no I/O. Callbacks run inside sse_parser_feed().
 *
 * A line that lies in the fed chunk as a whole is interpreted where it is, and the values of its
 * block stay there too ("borrowed") for as long as the chunk does; an event that lies in one
 * chunk is thus dispatched without a copy. What a chunk leaves unfinished is copied into buffers
 * that the parser owns. A line that a chunk cuts off is put together behind the data of its
 * block in the data's own buffer, so that a long line exists once.
 *
 * Invariants:
 * - Outside of feed nothing is borrowed.
 * - While partial > 0, data is not borrowed and the partial line is at data.buf.ptr + data.len.
 * - kept() + the line being read <= max + LINE_SLACK, else the event is lost; kept() <= max
 *   after each line. Both depend on whole lines only, hence not on how the input was cut.
 * - Once `stopped`, nothing is called and nothing is read until a reset. */
#include "sized.h"
#include "utf8.h"

#include <sse/parser.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_MAX ((size_t)16 << 20)
/* What a line may have beside its value: a BOM, the longest field name, a colon, a space; and
 * some to spare. */
#define LINE_SLACK 16
/* Buffers for ids, types and comments that have become larger than this are given back after
 * their block. */
#define KEEP ((size_t)64 << 10)
#define FIRST_CAP 256

struct buf {
    char *ptr;
    size_t cap;
};

/* One part of the block that is being read: the data, the type, ... */
struct part {
    const char *src; /* where it is, when borrowed */
    size_t len;      /* 0 unless set */
    struct buf buf;  /* where it is, when not borrowed */
    bool set;
    bool borrowed;
};

/* The value of a line: in the fed chunk, or in the data's buffer. */
struct value {
    const char *ptr;
    size_t len;
    bool in_buf;
};

struct sse_parser {
    sse_parser_callbacks cb; /* immutable, like the next three */
    void *user;
    size_t max;
    bool raw;

    /* The stream. */
    bool stopped;  /* by a callback */
    bool after_cr; /* the last line ended with CR: an LF that follows belongs to it */
    uint64_t line; /* lines that are over */
    struct buf last_id;
    size_t last_id_len;

    /* The line that is being read. */
    size_t partial; /* its bytes in the data's buffer */
    bool skipping;  /* it is too long, and ignored up to its end */

    /* The block that is being read. */
    bool open; /* it has lines that matter */
    bool lost; /* too big or out of memory: only its id and retry count */
    bool has_retry;
    uint64_t retry_ms;
    struct part data, type, id, comment;
};

/* The bytes that a part holds; ptr is NULL when it is not set, and never when it is set but
 * empty. */
static sse_str part_str(const struct part *part)
{
    sse_str s = {NULL, part->len};
    if (part->set)
        s.ptr = part->len == 0 ? "" : part->borrowed ? part->src : part->buf.ptr;
    return s;
}

static void part_clear(struct part *part)
{
    part->set = part->borrowed = false;
    part->len = 0;
}

static void buf_free(struct buf *buf)
{
    free(buf->ptr);
    buf->ptr = NULL;
    buf->cap = 0;
}

/* Make room for `need` bytes, which `limit` allows. Doubles, so that appending is linear, but
 * not beyond the limit. */
static bool buf_grow(struct buf *buf, size_t need, size_t limit)
{
    if (need <= buf->cap)
        return true;
    size_t cap = buf->cap < FIRST_CAP / 2 ? FIRST_CAP : buf->cap * 2;
    if (cap > limit)
        cap = limit;
    if (cap < need)
        cap = need;
    char *bigger = realloc(buf->ptr, cap);
    if (!bigger)
        return false;
    buf->ptr = bigger;
    buf->cap = cap;
    return true;
}

static size_t kept(const sse_parser *p)
{
    return p->data.len + p->type.len + p->id.len + p->comment.len;
}

/* True when the block may hold `more` bytes instead of `less` of those that it has. */
static bool fits(const sse_parser *p, size_t less, size_t more)
{
    return kept(p) - less + more <= p->max;
}

static void report(sse_parser *p, sse_err err, const char *what)
{
    if (p->cb.on_problem && !p->stopped)
        p->stopped = p->cb.on_problem(p->user, err, p->line + 1, what) != 0;
}

/* Give the block's event up. Its id is kept: the block did arrive, and a client that came back
 * with the id before it would only be sent the same event again. A partial line is given up by
 * this as well, because it lies behind the data. */
static void lose(sse_parser *p, sse_err err, const char *what)
{
    if (p->lost)
        return;
    p->lost = p->open = true;
    part_clear(&p->data);
    part_clear(&p->type);
    part_clear(&p->comment);
    report(p, err, what);
}

static void lose_too_big(sse_parser *p) { lose(p, SSE_ETOOBIG, "event larger than the limit"); }

static void lose_no_memory(sse_parser *p) { lose(p, SSE_ENOMEM, "no memory for the event"); }

/* Copy what a part borrows into the buffer of its own. On failure the part is gone and the event
 * lost. */
static bool own(sse_parser *p, struct part *part)
{
    if (!part->borrowed)
        return true;
    /* What is replaced, not appended to, needs no room to spare once it is large. */
    if (!buf_grow(&part->buf, part->len, part->len > KEEP ? part->len : KEEP)) {
        part_clear(part);
        lose_no_memory(p);
        return false;
    }
    if (part->len > 0)
        memcpy(part->buf.ptr, part->src, part->len);
    part->borrowed = false;
    return true;
}

static void own_all(sse_parser *p)
{
    own(p, &p->data);
    own(p, &p->type);
    own(p, &p->id);
}

/* Replace invalid UTF-8 in a value, which is to take the place of `less` bytes of the block. The
 * repaired text is made in the data's buffer behind the data: where the value was when it came
 * from there, else with one byte between for a line end. Returns false when the event is lost by
 * it. */
static bool repair(sse_parser *p, struct value *v, size_t less)
{
    if (sse__utf8_valid_prefix(v->ptr, v->len) == v->len)
        return true;
    size_t size = sse__utf8_repaired_size(v->ptr, v->len);
    if (!fits(p, less, size)) {
        lose_too_big(p);
        return false;
    }
    if (!own(p, &p->data))
        return false;
    size_t at = v->in_buf ? (size_t)(v->ptr - p->data.buf.ptr) : p->data.len + 1;
    if (!buf_grow(&p->data.buf, at + size, p->max + LINE_SLACK)) {
        lose_no_memory(p);
        return false;
    }
    char *to = p->data.buf.ptr + at, *from = to + size - v->len;
    memmove(from, v->in_buf ? to : v->ptr, v->len);
    sse__utf8_repair(from, v->len, to);
    *v = (struct value){to, size, true};
    return true;
}

/* Append a value to data or comment, on a line of its own. */
static void append_line(sse_parser *p, struct part *part, struct value v)
{
    size_t len = part->set ? part->len + 1 + v.len : v.len;
    if (!fits(p, part->len, len)) {
        lose_too_big(p);
        return;
    }
    if (!own(p, part))
        return;
    /* A value that is in the data's buffer has the room for itself and the line end there already.
     */
    bool there = v.in_buf && part == &p->data;
    if (!there && !buf_grow(&part->buf, len, p->max + LINE_SLACK)) {
        lose_no_memory(p);
        return;
    }
    if (part->set)
        part->buf.ptr[part->len] = '\n';
    if (v.len > 0)
        memmove(part->buf.ptr + (len - v.len), v.ptr, v.len);
    part->len = len;
    part->set = true;
}

static void data_line(sse_parser *p, struct value v)
{
    if (p->lost || !repair(p, &v, 0))
        return;
    if (p->data.set || v.in_buf) {
        append_line(p, &p->data, v);
        return;
    }
    if (!fits(p, 0, v.len)) {
        lose_too_big(p);
        return;
    }
    p->data.src = v.ptr;
    p->data.len = v.len;
    p->data.set = p->data.borrowed = true;
}

/* Put a value in the place of what the part had. */
static void replace(sse_parser *p, struct part *part, struct value v)
{
    if (!repair(p, &v, part->len))
        return;
    if (!fits(p, part->len, v.len)) {
        lose_too_big(p);
        return;
    }
    part_clear(part);
    part->src = v.ptr;
    part->len = v.len;
    part->set = part->borrowed = true;
    /* The data's buffer does not keep it longer than the line lasts. */
    if (v.in_buf)
        own(p, part);
}

static void id_line(sse_parser *p, struct value v)
{
    if (v.len > 0 && memchr(v.ptr, '\0', v.len))
        report(p, SSE_EINVAL, "id with a NUL is ignored");
    else
        replace(p, &p->id, v);
}

static void retry_line(sse_parser *p, struct value v)
{
    uint64_t ms = 0;
    bool valid = v.len > 0;
    for (size_t i = 0; i < v.len && valid; i++) {
        unsigned digit = (unsigned char)v.ptr[i] - (unsigned)'0';
        valid = digit <= 9;
        ms = ms > (UINT64_MAX - digit) / 10 ? UINT64_MAX : ms * 10 + digit;
    }
    if (!valid) {
        report(p, SSE_EINVAL, "retry that is not a number is ignored");
        return;
    }
    p->has_retry = true;
    p->retry_ms = ms;
    if (p->cb.on_retry)
        p->stopped = p->cb.on_retry(p->user, ms) != 0;
}

static void comment_line(sse_parser *p, struct value v)
{
    if (!p->raw && !p->cb.on_comment)
        return;
    if (!repair(p, &v, 0))
        return;
    if (p->cb.on_comment) {
        sse_str text = {v.len > 0 ? v.ptr : "", v.len};
        p->stopped = p->cb.on_comment(p->user, text) != 0;
    }
    if (p->raw && !p->lost && !p->stopped)
        append_line(p, &p->comment, v);
}

static bool is_name(const char *name, size_t n, const char *what, size_t what_len)
{
    return n == what_len && memcmp(name, what, what_len) == 0;
}

static void field_line(sse_parser *p, const char *line, size_t n, bool in_buf)
{
    const char *colon = memchr(line, ':', n), *end = line + n;
    size_t name_len = (size_t)((colon ? colon : end) - line);
    const char *at = colon ? colon + 1 : end;
    if (at < end && *at == ' ')
        at++;
    struct value v = {at, (size_t)(end - at), in_buf};
    if (name_len == 0) {
        p->open = p->open || p->raw;
        comment_line(p, v);
        return;
    }
    p->open = true;
    if (is_name(line, name_len, "data", 4)) {
        data_line(p, v);
    } else if (is_name(line, name_len, "id", 2)) {
        id_line(p, v);
    } else if (is_name(line, name_len, "event", 5)) {
        if (!p->lost)
            replace(p, &p->type, v);
    } else if (is_name(line, name_len, "retry", 5)) {
        retry_line(p, v);
    } else {
        report(p, SSE_EINVAL, "unknown field is ignored");
    }
}

/* Make `id`, which may be the last event id itself, the last event id. */
static bool store_last_id(sse_parser *p, sse_str id)
{
    if (p->last_id.cap > KEEP && id.len <= KEEP)
        buf_free(&p->last_id);
    if (!buf_grow(&p->last_id, id.len, id.len))
        return false;
    if (id.len > 0)
        memmove(p->last_id.ptr, id.ptr, id.len);
    p->last_id_len = id.len;
    return true;
}

/* The id of a block takes effect at its end. */
static void commit_id(sse_parser *p)
{
    sse_str id = part_str(&p->id), last = sse_parser_last_event_id(p);
    if (id.len == last.len && memcmp(id.ptr, last.ptr, id.len) == 0)
        return;
    if (!p->id.borrowed && id.len > KEEP) {
        struct buf old = p->last_id;
        p->last_id = p->id.buf;
        p->last_id_len = id.len;
        p->id.buf = old;
    } else if (!store_last_id(p, id)) {
        lose_no_memory(p);
        return;
    }
    if (p->cb.on_id && !p->stopped)
        p->stopped = p->cb.on_id(p->user, sse_parser_last_event_id(p)) != 0;
}

static void dispatch(sse_parser *p)
{
    if (!p->cb.on_event || p->lost || p->stopped)
        return;
    sse_event event = {.data = part_str(&p->data), .type = part_str(&p->type)};
    if (p->raw) {
        event.id = part_str(&p->id);
        event.comment = part_str(&p->comment);
        event.has_retry = p->has_retry;
        event.retry_ms = p->retry_ms;
        if (!event.data.ptr && !event.type.ptr && !event.id.ptr && !event.comment.ptr &&
            !event.has_retry)
            return;
    } else {
        if (!event.data.ptr)
            return;
        event.id = sse_parser_last_event_id(p);
        if (event.type.len == 0)
            event.type.ptr = NULL;
    }
    p->stopped = p->cb.on_event(p->user, &event) != 0;
}

static void part_trim(struct part *part)
{
    part_clear(part);
    if (part->buf.cap > KEEP)
        buf_free(&part->buf);
}

static void clear_block(sse_parser *p)
{
    part_clear(&p->data);
    part_trim(&p->type);
    part_trim(&p->id);
    part_trim(&p->comment);
    p->open = p->lost = p->has_retry = false;
    p->retry_ms = 0;
}

static void end_block(sse_parser *p)
{
    if (p->id.set)
        commit_id(p);
    dispatch(p);
    clear_block(p);
}

static void take_line(sse_parser *p, const char *line, size_t n, bool in_buf)
{
    if (p->line == 0 && n >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
        line += 3;
        n -= 3;
    }
    if (n == 0)
        end_block(p);
    else
        field_line(p, line, n, in_buf);
}

static bool line_too_long(const sse_parser *p, size_t n)
{
    size_t room = p->max + LINE_SLACK - kept(p);
    return p->partial > room || n > room - p->partial;
}

/* Add bytes to the line that the chunk cuts off, or that a chunk before it did. */
static void keep_partial(sse_parser *p, const char *bytes, size_t n)
{
    if (p->skipping)
        return;
    if (p->partial == 0)
        own_all(p);
    if (line_too_long(p, n)) {
        p->skipping = true;
        lose_too_big(p);
    } else if (!buf_grow(&p->data.buf, p->data.len + p->partial + n, p->max + LINE_SLACK)) {
        p->skipping = true;
        lose_no_memory(p);
    } else {
        if (n > 0)
            memcpy(p->data.buf.ptr + p->data.len + p->partial, bytes, n);
        p->partial += n;
    }
    if (p->skipping)
        p->partial = 0;
}

/* A line has ended: n bytes of it are in this chunk, perhaps some more before them. */
static void end_line(sse_parser *p, const char *bytes, size_t n)
{
    if (p->partial > 0 || p->skipping) {
        keep_partial(p, bytes, n);
        size_t len = p->partial;
        p->partial = 0;
        if (!p->skipping)
            take_line(p, p->data.buf.ptr + p->data.len, len, true);
        p->skipping = false;
    } else if (line_too_long(p, n)) {
        lose_too_big(p);
    } else {
        take_line(p, bytes, n, false);
    }
    p->line++;
}

static const char *find(const char *at, const char *end, char c)
{
    const char *found = at < end ? memchr(at, c, (size_t)(end - at)) : NULL;
    return found ? found : end;
}

sse_err sse_parser_feed(sse_parser *p, const void *bytes, size_t n)
{
    if (p->stopped)
        return SSE_ECANCELED;
    if (n == 0)
        return SSE_OK;
    const char *at = bytes, *end = at + n;
    if (p->after_cr && *at == '\n')
        at++;
    p->after_cr = false;

    /* The next CR and the next LF are looked for only when the last one found is behind: every byte
     * is scanned twice. */
    const char *cr = find(at, end, '\r'), *lf = find(at, end, '\n');
    while (at < end) {
        const char *eol = lf < cr ? lf : cr;
        if (eol == end) {
            keep_partial(p, at, (size_t)(end - at));
            break;
        }
        end_line(p, at, (size_t)(eol - at));
        if (p->stopped)
            return SSE_ECANCELED;
        at = eol + 1;
        if (*eol == '\r') {
            p->after_cr = at == end;
            if (at < end && lf == at)
                at++; /* CRLF is one line end */
            cr = find(at, end, '\r');
        }
        if (lf < at)
            lf = find(at, end, '\n');
    }
    own_all(p);
    return p->stopped ? SSE_ECANCELED : SSE_OK;
}

bool sse_parser_reset(sse_parser *p)
{
    bool bom_only =
        p->line == 0 && p->partial == 3 && memcmp(p->data.buf.ptr, "\xef\xbb\xbf", 3) == 0;
    bool unfinished = p->open || p->skipping || (p->partial > 0 && !bom_only);
    clear_block(p);
    p->partial = 0;
    p->line = 0;
    p->skipping = p->after_cr = p->stopped = false;
    return unfinished;
}

sse_str sse_parser_last_event_id(const sse_parser *p)
{
    sse_str id = {p->last_id_len > 0 ? p->last_id.ptr : "", p->last_id_len};
    return id;
}

sse_err sse_parser_set_last_event_id(sse_parser *p, sse_str id)
{
    sse_event event = {.id = id};
    sse_err err = sse_event_check(&event);
    if (err != SSE_OK)
        return err;
    return store_last_id(p, id) ? SSE_OK : SSE_ENOMEM;
}

sse_err sse_parser_new(const sse_parser_options *options, const sse_parser_callbacks *callbacks,
                       void *user, sse_parser **out)
{
    *out = NULL;
    sse_parser_options all = SSE_PARSER_OPTIONS_INIT;
    sse_parser_callbacks cb = SSE_PARSER_CALLBACKS_INIT;
    if (!callbacks || !sse__copy_sized(&cb, sizeof cb, callbacks) ||
        (options && !sse__copy_sized(&all, sizeof all, options)))
        return SSE_EINVAL;
    sse_parser *p = calloc(1, sizeof *p);
    if (!p)
        return SSE_ENOMEM;
    p->cb = cb;
    p->user = user;
    p->max = all.max_event_bytes ? all.max_event_bytes : DEFAULT_MAX;
    if (p->max > SIZE_MAX / 4)
        p->max = SIZE_MAX / 4;
    p->raw = all.raw_blocks;
    *out = p;
    return SSE_OK;
}

void sse_parser_free(sse_parser *p)
{
    if (!p)
        return;
    buf_free(&p->data.buf);
    buf_free(&p->type.buf);
    buf_free(&p->id.buf);
    buf_free(&p->comment.buf);
    buf_free(&p->last_id);
    free(p);
}
