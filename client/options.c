/* What the user asked for: copied, checked, and turned into what the transport and the reconnection
 * want. Runs once per client, before anything is shared. */
#include "header.h"
#include "sized.h"
#include "subscription.h"
#include "url.h"

#include <stdlib.h>
#include <string.h>

bool sse__id_valid(sse_str id) { return sse_event_check(&(sse_event){.id = id}) == SSE_OK; }

static sse_err copy_string(const char **s)
{
    if (!*s)
        return SSE_OK;
    *s = strdup(*s);
    return *s ? SSE_OK : SSE_ENOMEM;
}

/* Each string is replaced by a copy of its own. After a failure the rest is set to NULL, so that
 * unconfigure() frees no string of the user's. */
static sse_err copy_strings(sse_client_options *o)
{
    const char **all[] = {&o->method, &o->last_event_id, &o->accept_encoding, &o->cacert, &o->cert,
                          &o->key,    &o->proxy,         &o->unix_socket,     NULL};
    sse_err err = SSE_OK;
    for (size_t i = 0; all[i]; i++)
        if (err != SSE_OK)
            *all[i] = NULL;
        else
            err = copy_string(all[i]);
    return err;
}

static sse_err copy_body(sse_str *body)
{
    if (!body->ptr)
        return SSE_OK;
    char *copy = malloc(body->len + 1);
    if (copy)
        memcpy(copy, body->ptr, body->len);
    body->ptr = copy;
    return copy ? SSE_OK : SSE_ENOMEM;
}

static sse_err add_line(sse_client *c, const char *line)
{
    c->lines[c->nlines] = strdup(line);
    if (!c->lines[c->nlines])
        return SSE_ENOMEM;
    c->nlines++;
    return SSE_OK;
}

static bool has_line(const sse_client *c, const char *name)
{
    for (size_t i = 0; i < c->nlines; i++)
        if (sse__header_is(c->lines[i], name))
            return true;
    return false;
}

/* A header that the library keeps up to date itself: only its first value is the user's. */
static sse_err take_last_event_id(sse_client *c, const char *line)
{
    if (c->options.last_event_id)
        return SSE_OK;
    c->options.last_event_id = strdup(sse__header_value(line));
    return c->options.last_event_id ? SSE_OK : SSE_ENOMEM;
}

static sse_err add_user_line(sse_client *c, const char *line)
{
    if (!sse__header_valid(line))
        return SSE_EINVAL;
    return sse__header_is(line, "Last-Event-ID") ? take_last_event_id(c, line) : add_line(c, line);
}

static sse_err make_lines(sse_client *c, const char *const *headers)
{
    size_t n = 0;
    while (headers && headers[n])
        n++;
    c->lines = calloc(n + 3, sizeof *c->lines);
    if (!c->lines)
        return SSE_ENOMEM;
    sse_err err = SSE_OK;
    for (size_t i = 0; i < n && err == SSE_OK; i++)
        err = add_user_line(c, headers[i]);
    if (err == SSE_OK && !has_line(c, "Accept"))
        err = add_line(c, "Accept: text/event-stream");
    if (err == SSE_OK && !has_line(c, "Cache-Control"))
        err = add_line(c, "Cache-Control: no-cache");
    return err;
}

static uint32_t or_default(uint32_t value, uint32_t fallback) { return value ? value : fallback; }

static void configure_transport(sse_client *c)
{
    const sse_client_options *o = &c->options;
    c->transport = (sse__transport_config){
        .method = o->method,
        .accept_encoding = o->accept_encoding,
        .cacert = o->cacert,
        .cert = o->cert,
        .key = o->key,
        .proxy = o->proxy,
        .unix_socket = o->unix_socket,
        .connect_timeout_ms = or_default(o->connect_timeout_ms, 30000),
        .response_timeout_ms = or_default(o->response_timeout_ms, 60000),
        .idle_timeout_ms = or_default(o->idle_timeout_ms, SSE_OFF),
        .max_redirects = or_default(o->max_redirects, 10),
        .insecure = o->insecure,
    };
}

static void configure_reconnect(sse_client *c)
{
    const sse_client_options *o = &c->options;
    c->reconnect = (sse__reconnect_config){
        .base_ms = or_default(o->retry_ms, 1000),
        .max_ms = or_default(o->max_retry_ms, 30000),
        .server_max_ms = or_default(o->max_retry_ms, 3600000),
        .max_attempts = o->max_attempts == SSE_OFF ? 0 : o->max_attempts,
        .no_reconnect = o->no_reconnect,
    };
}

static sse_err check(const sse_client *c)
{
    const sse_client_options *o = &c->options;
    if (o->method && !sse__is_token(o->method, strlen(o->method)))
        return SSE_EINVAL;
    if (!sse__id_valid(sse_cstr(o->last_event_id)))
        return SSE_EINVAL;
    return sse__transport_check_url(c->url);
}

/* Everything that points into the user's memory is replaced or cleared before this returns. */
static sse_err copy_options(sse_client *c, const sse_client_options *options)
{
    c->options = (sse_client_options)SSE_CLIENT_OPTIONS_INIT;
    if (!options)
        return SSE_OK;
    if (!sse__copy_sized(&c->options, sizeof c->options, options))
        return SSE_EINVAL;
    sse_str body = c->options.body;
    c->options.body = (sse_str){NULL, 0};
    c->options.headers = NULL;
    sse_err err = copy_strings(&c->options);
    if (err == SSE_OK && (err = copy_body(&body)) == SSE_OK)
        c->options.body = body;
    return err;
}

sse_err sse__client_configure(sse_client *c, const char *url, const sse_client_options *options)
{
    sse_err err = copy_options(c, options);
    if (err != SSE_OK)
        return err;
    c->url = strdup(url);
    if (!c->url)
        return SSE_ENOMEM;
    err = make_lines(c, options ? options->headers : NULL);
    if (err == SSE_OK)
        err = check(c);
    configure_transport(c);
    configure_reconnect(c);
    return err;
}

void sse__client_unconfigure(sse_client *c)
{
    sse_client_options *o = &c->options;
    const char *strings[] = {o->method, o->last_event_id, o->accept_encoding, o->cacert,  o->cert,
                             o->key,    o->proxy,         o->unix_socket,     o->body.ptr};
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
        free((void *)(uintptr_t)strings[i]);
    for (size_t i = 0; i < c->nlines; i++)
        free(c->lines[i]);
    free(c->lines);
    free(c->url);
}
