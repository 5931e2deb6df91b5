/* Bodies of answers, decoded as they come, and event streams in them.
 *
 * The decoder works on what has been received: each step either moves bytes on or asks for more. A
 * timeout loses nothing. */
#include "http_internal.h"

#include "wait.h"

#include <stdlib.h>
#include <string.h>

/* ---- transfer coding ---- */

/* Take up to `left` bytes of the body over. Returns whether there were any. */
static bool take_bytes(http_conn *c)
{
    size_t n = c->raw.len - c->raw.at;
    if (c->framing != HTTP_UNTIL_CLOSE && n > c->left)
        n = (size_t)c->left;
    if (n == 0)
        return false;
    http_buffer_add(&c->body, c->raw.bytes + c->raw.at, n);
    c->raw.at += n;
    if (c->framing != HTTP_UNTIL_CLOSE)
        c->left -= n;
    return true;
}

/* The next line of the coding without CRLF, or NULL when it is not all there. */
static char *take_coding_line(http_conn *c)
{
    char *start = c->raw.bytes + c->raw.at;
    char *end = memmem(start, c->raw.len - c->raw.at, "\r\n", 2);
    if (!end)
        return NULL;
    *end = '\0';
    c->raw.at += (size_t)(end + 2 - start);
    return start;
}

/* One line of the chunked coding: the end of a chunk, a size, or the trailer. Returns false when
 * more must come first. */
static bool chunk_step(http_conn *c)
{
    char *line = c->raw.len > c->raw.at ? take_coding_line(c) : NULL;
    if (!line)
        return false;
    if (c->after_chunk) {
        c->broken = *line != '\0';
        c->after_chunk = false;
    } else if (c->in_trailer) {
        c->ended = *line == '\0';
    } else {
        char *end;
        c->left = strtoull(line, &end, 16);
        c->broken = end == line || (*end != '\0' && *end != ';');
        c->in_trailer = c->left == 0;
        c->after_chunk = c->left > 0;
    }
    return true;
}

/* Decode what has been received. Returns whether the body grew. */
static bool decode_received(http_conn *c)
{
    bool grew = false;
    if (c->framing != HTTP_CHUNKED) {
        grew = take_bytes(c);
        if (c->framing == HTTP_LENGTH && c->left == 0)
            c->ended = true;
        return grew;
    }
    while (!c->ended && !c->broken) {
        if (c->left > 0 && take_bytes(c))
            grew = true;
        else if (c->left > 0 || !chunk_step(c))
            break;
    }
    return grew;
}

http_result http_decode_more(http_conn *c, int64_t deadline_ms)
{
    while (!decode_received(c)) {
        if (c->broken)
            return HTTP_BROKEN;
        if (c->ended)
            return HTTP_END;
        http_result filled = http_fill(c, deadline_ms);
        if (filled == HTTP_END && c->framing == HTTP_UNTIL_CLOSE)
            c->ended = true;
        else if (filled == HTTP_END || filled == HTTP_BROKEN)
            c->broken = true;
        else if (filled != HTTP_OK)
            return filled;
    }
    return HTTP_OK;
}

/* ---- lines and blocks ---- */

http_result http_read_line(http_conn *c, const char **line, size_t *len, int timeout_ms)
{
    int64_t deadline = wait_now_ms() + timeout_ms;
    size_t searched = 0;
    for (;;) {
        size_t rest = c->body.len - c->body.at;
        char *start = c->body.bytes ? c->body.bytes + c->body.at : NULL;
        char *end = rest > searched ? memchr(start + searched, '\n', rest - searched) : NULL;
        searched = rest;
        http_result result = end ? HTTP_OK : http_decode_more(c, deadline);
        if (!end && result == HTTP_OK)
            continue;
        if (!end && !(result == HTTP_END && rest > 0))
            return result;
        *line = start;
        *len = end ? (size_t)(end - start) : rest;
        start[*len] = '\0';
        c->body.at += *len + (end ? 1 : 0);
        return HTTP_OK;
    }
}

/* Append a value to a part, with an LF between two. */
static void append(char **part, size_t *part_len, const char *value, size_t len)
{
    size_t before = *part ? *part_len + 1 : 0;
    char *grown = realloc(*part, before + len + 1);
    if (!grown)
        abort();
    if (*part)
        grown[*part_len] = '\n';
    memcpy(grown + before, value, len);
    grown[before + len] = '\0';
    *part = grown;
    *part_len = before + len;
}

static void replace(char **part, const char *value, size_t len)
{
    size_t part_len = 0;
    free(*part);
    *part = NULL;
    append(part, &part_len, value, len);
}

static void take_field(http_block *b, const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len);
    size_t name_len = colon ? (size_t)(colon - line) : len;
    const char *value = colon ? colon + 1 : line + len;
    size_t value_len = (size_t)(line + len - value);
    if (value_len > 0 && *value == ' ') {
        value++;
        value_len--;
    }
    size_t comment_len = b->comment ? strlen(b->comment) : 0;
    if (name_len == 0)
        append(&b->comment, &comment_len, value, value_len);
    else if (name_len == 4 && memcmp(line, "data", 4) == 0)
        append(&b->data, &b->data_len, value, value_len);
    else if (name_len == 2 && memcmp(line, "id", 2) == 0)
        replace(&b->id, value, value_len);
    else if (name_len == 5 && memcmp(line, "event", 5) == 0)
        replace(&b->type, value, value_len);
    else if (name_len == 5 && memcmp(line, "retry", 5) == 0)
        replace(&b->retry, value, value_len);
}

void http_block_fini(http_block *b)
{
    free(b->id);
    free(b->type);
    free(b->data);
    free(b->retry);
    free(b->comment);
    *b = (http_block){0};
}

http_result http_next_block(http_conn *c, http_block *out, int timeout_ms)
{
    int64_t deadline = wait_now_ms() + timeout_ms;
    for (;;) {
        const char *line;
        size_t len;
        http_result result = http_read_line(c, &line, &len, wait_left_ms(deadline));
        if (result != HTTP_OK)
            return result;
        if (len > 0) {
            take_field(&c->block, line, len);
            c->block_began = true;
        } else if (c->block_began) {
            *out = c->block;
            c->block = (http_block){0};
            c->block_began = false;
            return HTTP_OK;
        }
    }
}

http_result http_next_event(http_conn *c, http_block *out, int timeout_ms)
{
    int64_t deadline = wait_now_ms() + timeout_ms;
    for (;;) {
        http_result result = http_next_block(c, out, wait_left_ms(deadline));
        if (result != HTTP_OK || out->data)
            return result;
        http_block_fini(out);
    }
}

http_conn *http_open_stream(uint16_t port, const char *target, const char *headers,
                            http_response *head, int timeout_ms)
{
    int64_t deadline = wait_now_ms() + timeout_ms;
    http_response own = {0};
    http_conn *c = http_connect(port);
    bool open = c &&
                http_send_request(c, "GET", target, headers, NULL, 0, wait_left_ms(deadline)) &&
                http_read_head(c, &own, wait_left_ms(deadline)) && own.status == 200;
    if (open && head)
        *head = own;
    else
        http_response_fini(&own);
    if (open)
        return c;
    http_close(c);
    return NULL;
}
