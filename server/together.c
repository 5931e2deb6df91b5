/* Several streams over one connection: the ids that its events carry.
 *
 * EventSource shows a page an event's type, data and last event id, and nothing else; it sends one id when it reconnects. So the
 * id says both which stream the event is from, and how far the client is in each:
 *
 *     id: NAME POSITION,POSITION,... [ID]
 *
 * NAME is percent-encoded and so holds no space; the positions are those of all streams after this event, in the order in which the
 * client named them; ID is the publisher's, if the event has one. A position begins with the epoch, which no two streams share,
 * so that each stream finds its own: the order of the streams may change from one connection to the next. lib/event_stream.c reads
 * the form; what it means for a stream is decided here.
 *
 * Pure functions but for sse__together_frame(), which reads what belongs to the connection's thread. */
#include "event_stream.h"
#include "header.h"
#include "json.h"
#include "subscriber.h"

#include <inttypes.h>
#include <string.h>

/* ---- writing ---- */

static void add_encoded(sse__text *text, const char *name)
{
    for (; *name; name++)
        sse__text_addf(text, sse__is_unreserved(*name) ? "%c" : "%%%02X", (unsigned char)*name);
}

/* The publisher's id of a frame; absent when it is only the position. */
static sse_str own_id(const sse__stream *st, const sse__frame *frame)
{
    uint64_t seq;
    sse_str id = sse__frame_id(frame);
    return id.len == 0 || sse__stream_parse_id(st, id, &seq) ? (sse_str){0} : id;
}

sse__frame *sse__together_frame(const sse__sub *sub, sse__frame *frame)
{
    sse__text text = {0};
    add_encoded(&text, sub->stream->name);
    const char *separator = " ";
    for (const sse__sub *member = sub->lead; member; member = member->next_member) {
        char position[SSE__ID_MAX];
        sse__stream_format_id(member->stream, member->position - 1, position);
        sse__text_add(&text, separator);
        sse__text_add(&text, position);
        separator = ",";
    }
    sse_str own = own_id(sub->stream, frame);
    if (own.ptr) {
        sse__text_add(&text, " ");
        sse__text_add_bytes(&text, own.ptr, own.len);
    }
    sse__frame *out = NULL;
    if (!text.failed && sse__frame_with_id(frame, (sse_str){text.ptr, text.len}, &out) != SSE_OK)
        out = NULL;
    sse__text_fini(&text);
    sse__frame_unref(frame);
    return out;
}

/* ---- reading ---- */

typedef struct positions {
    sse_str text[SSE__TOGETHER];
    uint64_t epochs[SSE__TOGETHER];
    size_t n;
} positions;

/* The positions in an id; none when it is no id of this kind, or one of more streams than there can be. */
static void positions_of(sse_str id, positions *out)
{
    sse__event_id parts;
    out->n = 0;
    if (!sse__event_id_split(id, &parts))
        return;
    size_t n = 0;
    while (n < SSE__TOGETHER &&
           sse__event_id_next(&parts.positions, &out->text[n], &out->epochs[n]))
        n++;
    out->n = parts.positions.len == 0 ? n : 0;
}

/* Which of the positions is this stream's; their number when none is. */
static size_t find_position(const sse__stream *st, const positions *list)
{
    size_t i = 0;
    while (i < list->n && list->epochs[i] != st->epoch)
        i++;
    return i;
}

bool sse__together_find(const sse__stream *st, sse_str id, uint64_t *seq)
{
    positions list;
    positions_of(id, &list);
    size_t i = find_position(st, &list);
    return i < list.n && sse__stream_parse_id(st, list.text[i], seq);
}

void sse__together_last_ids(sse__stream *const *streams, size_t n, sse_str id, sse_str *out)
{
    positions list;
    positions_of(id, &list);
    size_t claimed = 0;
    for (size_t i = 0; i < n; i++) {
        size_t at = find_position(streams[i], &list);
        out[i] = at < list.n ? list.text[at] : (sse_str){0};
        claimed += at < list.n;
    }
    /* Every position is another's: this one is new to the client. Otherwise it may be one that the client had under another epoch,
     * before a restart: it announces a gap. */
    bool all_known = list.n > 0 && claimed == list.n;
    for (size_t i = 0; i < n; i++)
        if (!out[i].ptr)
            out[i] = all_known ? (sse_str){"", 0} : id;
}

/* ---- how large ---- */

static size_t encoded_length(const char *name)
{
    size_t n = 0;
    for (; *name; name++)
        n += sse__is_unreserved(*name) ? 1 : 3;
    return n;
}

size_t sse__together_request_bytes(const sse_str *names, size_t n)
{
    size_t query = 0, longest = 0;
    for (size_t i = 0; i < n; i++) {
        size_t length = encoded_length(names[i].ptr);
        query += sizeof "&stream=" - 1 + length;
        longest = length > longest ? length : longest;
    }
    return query + longest +
           n * (SSE__ID_MAX - 6); /* twelve digits, a hyphen, 20 digits, a comma */
}
