/* Several streams over one connection: the ids that its events carry.
 *
 * EventSource shows a page an event's type, data and last event id, and nothing else; it sends one id when it reconnects. So the
 * id says both which stream the event is from, and how far the client is in each:
 *
 *     id: NAME POSITION,POSITION,... [ID]
 *
 * NAME is percent-encoded and so holds no space; the positions are those of all streams after this event, in the order in which the
 * client named them; ID is the publisher's, if the event has one. A position begins with the epoch, which no two streams share,
 * so that each stream finds its own: the order of the streams may change from one connection to the next.
 *
 * Pure functions but for sse__together_frame(), which reads what belongs to the connection's thread. */
#include "header.h"
#include "json.h"
#include "subscriber.h"

#include <inttypes.h>
#include <string.h>

#define EPOCH_DIGITS 12

/* ---- writing ---- */

static void add_encoded(sse__text *text, const char *name)
{
    for (; *name; name++) {
        bool plain = sse__is_alnum(*name) || strchr("-._~", *name);
        sse__text_addf(text, plain ? "%c" : "%%%02X", (unsigned char)*name);
    }
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

static bool is_position(sse_str s)
{
    if (s.len <= EPOCH_DIGITS + 1 || s.ptr[EPOCH_DIGITS] != '-')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (i != EPOCH_DIGITS && (!sse__is_alnum(s.ptr[i]) || (i > EPOCH_DIGITS && s.ptr[i] > '9')))
            return false;
    return true;
}

/* Cut the part before the separator off. Returns false when nothing is left. */
static bool next_part(sse_str *rest, char separator, sse_str *part)
{
    if (!rest->ptr)
        return false;
    const char *end = memchr(rest->ptr, separator, rest->len);
    *part = (sse_str){rest->ptr, end ? (size_t)(end - rest->ptr) : rest->len};
    *rest = end ? (sse_str){end + 1, rest->len - part->len - 1} : (sse_str){0};
    return true;
}

/* The list of positions in an id; absent when it is no id of this kind. */
static sse_str positions_of(sse_str id)
{
    sse_str name, list, all, part;
    if (!next_part(&id, ' ', &name) || !next_part(&id, ' ', &list))
        return (sse_str){0};
    all = list;
    while (next_part(&list, ',', &part))
        if (!is_position(part))
            return (sse_str){0};
    return all;
}

static bool find_position(const sse__stream *st, sse_str list, sse_str *position, uint64_t *seq)
{
    while (next_part(&list, ',', position))
        if (sse__stream_parse_id(st, *position, seq))
            return true;
    return false;
}

bool sse__together_find(const sse__stream *st, sse_str id, uint64_t *seq)
{
    sse_str position;
    return find_position(st, positions_of(id), &position, seq);
}

void sse__together_last_id(sse__stream *const *streams, size_t n, size_t i, sse_str id,
                           sse_str *out)
{
    sse_str list = positions_of(id), position, part;
    uint64_t seq;
    *out = id; /* not ours, or of a stream that there is no more: the stream announces a gap */
    if (!list.ptr)
        return;
    if (find_position(streams[i], list, &position, &seq)) {
        *out = position;
        return;
    }
    size_t positions = 0, claimed = 0;
    for (sse_str rest = list; next_part(&rest, ',', &part);)
        positions++;
    for (size_t k = 0; k < n; k++)
        claimed += find_position(streams[k], list, &position, &seq);
    if (claimed == positions)
        *out = (sse_str){"", 0}; /* every position is another's: this one is new to the client */
}
