/* See received.h. Aborts when memory is short: these are tests. */
#include "received.h"

#include "utf8.h"

#include <stdlib.h>

static sse_str normal(sse_str in, char **out)
{
    char *lf = malloc(in.len + 1);
    *out = malloc(3 * in.len + 1);
    if (!lf || !*out)
        abort();
    size_t len = 0;
    for (size_t i = 0; i < in.len; i++) {
        bool cr = in.ptr[i] == '\r';
        lf[len++] = cr ? '\n' : in.ptr[i];
        if (cr && i + 1 < in.len && in.ptr[i + 1] == '\n')
            i++;
    }
    sse__utf8_repair(lf, len, *out);
    sse_str text = {in.ptr ? *out : NULL, sse__utf8_repaired_size(lf, len)};
    free(lf);
    return text;
}

sse_event received_event(struct received *r, const sse_event *sent)
{
    sse_event ev = *sent;
    ev.id = normal(sent->id, &r->texts[0]);
    ev.type = normal(sent->type, &r->texts[1]);
    ev.data = normal(sent->data, &r->texts[2]);
    ev.comment = normal(sent->comment, &r->texts[3]);
    if (ev.type.len == 0)
        ev.type.ptr = NULL;
    if (!ev.id.ptr && !ev.type.ptr && !ev.data.ptr && !ev.comment.ptr && !ev.has_retry)
        ev.comment = sse_cstr("");
    return ev;
}

void received_free(struct received *r)
{
    for (int i = 0; i < 4; i++)
        free(r->texts[i]);
}

static bool equal(sse_str a, sse_str b)
{
    return (a.ptr == NULL) == (b.ptr == NULL) && a.len == b.len &&
           (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool received_equal(const sse_event *a, const sse_event *b)
{
    return equal(a->id, b->id) && equal(a->type, b->type) && equal(a->data, b->data) &&
           equal(a->comment, b->comment) && a->has_retry == b->has_retry &&
           (!a->has_retry || a->retry_ms == b->retry_ms);
}
