/* Connections that are refused as soon as they are accepted: what they are told, how they are counted, and the log's line about them.
 *
 * Any thread. In the log there is, at level warn, one line at once, and then one in ten seconds at most, about all since the last one; the keeper
 * writes what is left when nothing more comes. So a flood makes no flood of lines, and the lines' numbers add up to the counters'. */
#include "hub.h"

#include "address.h"
#include "clock.h"
#include "loop_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LINE_EVERY_NS ((uint64_t)10000000000)
#define RETRY_WHEN_FULL_S 5
#define TOO_OFTEN "Your address connects too often."
#define TOO_MANY "Your address has too many connections."
#define FULL "The server has too many connections."
#define NOT_TLS "This port speaks HTTPS, not HTTP."
#define REQUEST_BYTES 8192 /* more than a request's headers may have by default */

/* ---- counting ---- */

const char *sse__denial_name(sse__denial denial)
{
    static const char *const names[SSE__DENIALS] = {"none", "rate", "address", "server", "memory"};
    return names[denial];
}

static void write_line(sse_server *hub, const uint64_t n[SSE__DENIALS], const char *address)
{
    static const char *const why[SSE__DENIALS] = {
        [SSE__DENIED_RATE] = "that came too fast from their address",
        [SSE__DENIED_ADDRESS] = "beyond the limit of their address",
        [SSE__DENIED_SERVER] = "beyond the limit of the server",
        [SSE__DENIED_MEMORY] = "for want of memory"};
    char line[400];
    size_t at = 0;
    for (size_t i = SSE__DENIED_RATE; i < SSE__DENIALS; i++)
        if (n[i] > 0)
            at += (size_t)snprintf(line + at, sizeof line - at, "%s%" PRIu64 " %s",
                                   at > 0 ? ", " : "", n[i], why[i]);
    sse__log(&hub->options.logger, SSE_LOG_WARN, "connections refused: %s%s%s", line,
             address ? "; the last one from " : "", address ? address : "");
}

static void tell(sse_server *hub, uint64_t now_ns, bool anyhow, const char *address)
{
    sse__denials *d = &hub->denials;
    uint64_t sum = 0, n[SSE__DENIALS];
    for (size_t i = 0; i < SSE__DENIALS; i++)
        sum += atomic_load(&d->counts[i]) - atomic_load(&d->told[i]);
    uint64_t next_ns = atomic_load(&d->next_line_ns);
    if (sum == 0 || (now_ns < next_ns && !anyhow) ||
        !atomic_compare_exchange_strong(&d->next_line_ns, &next_ns, now_ns + LINE_EVERY_NS))
        return;
    for (size_t i = 0; i < SSE__DENIALS; i++) {
        uint64_t count = atomic_load(&d->counts[i]);
        n[i] = count - atomic_exchange(&d->told[i], count);
    }
    write_line(hub, n, address);
}

static void tell_one(sse_server *hub, const struct sockaddr *address, unsigned status,
                     const char *reason)
{
    char text[SSE__ADDRESS_MAX];
    if (!sse__refusal_has_line(hub))
        return;
    sse__address_format(address, text);
    sse__refusal_tell(hub, &(sse__refused){.address = text, .reason = reason, .status = status});
}

static void tell_denial(sse_server *hub, sse__denial denial, const struct sockaddr *address)
{
    static const char *const why[SSE__DENIALS] = {[SSE__DENIED_RATE] = TOO_OFTEN,
                                                  [SSE__DENIED_ADDRESS] = TOO_MANY,
                                                  [SSE__DENIED_SERVER] = FULL,
                                                  [SSE__DENIED_MEMORY] =
                                                      "There is no memory for it."};
    bool ours = denial == SSE__DENIED_SERVER || denial == SSE__DENIED_MEMORY;
    tell_one(hub, address, ours ? 503 : 429, why[denial]);
}

void sse__hub_count_denial(sse_server *hub, sse__denial denial, const struct sockaddr *address)
{
    tell_denial(hub, denial, address);
    uint64_t now_ns = sse__now_ns();
    char text[SSE__ADDRESS_MAX];
    atomic_fetch_add(&hub->denials.counts[denial], 1);
    if (now_ns < atomic_load(&hub->denials.next_line_ns))
        return;
    sse__address_format(address, text);
    tell(hub, now_ns, false, text);
}

void sse__hub_tell_denials(sse_server *hub, bool anyhow) { tell(hub, sse__now_ns(), anyhow, NULL); }

/* ---- telling the peer ---- */

/* Does the header of this name, with the line end before and the colon after it, say this? */
static bool says(const char *request, const char *header, const char *what)
{
    const char *at = strcasestr(request, header);
    if (!at)
        return false;
    at += strlen(header);
    const char *found = strcasestr(at, what);
    return found && found < at + strcspn(at, "\r\n");
}

/* A browser's EventSource gives up for good at any status but 200, but comes back when a connection breaks (WHATWG HTML, 9.2). Every
 * browser's name begins like this (WHATWG Compatibility, "User-Agent string"); no program's that understands a Retry-After. */
static bool is_event_source(const char *request)
{
    return says(request, "\nAccept:", "text/event-stream") &&
           says(request, "\nUser-Agent:", "Mozilla/");
}

/* Does it send a body? */
static bool has_body(const char *request)
{
    return strcasestr(request, "\nContent-Length:") || strcasestr(request, "\nTransfer-Encoding:");
}

/* retry_after_s 0: it is of no use. */
static void answer(int fd, const char *status, uint32_t retry_after_s, const char *why)
{
    char text[320], retry_after[32] = "";
    if (retry_after_s > 0)
        snprintf(retry_after, sizeof retry_after, "Retry-After: %u\r\n", retry_after_s);
    int n = snprintf(text, sizeof text,
                     "HTTP/1.1 %s\r\n%sContent-Type: text/plain; charset=utf-8\r\n"
                     "Content-Length: %zu\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
                     "%s\n",
                     status, retry_after, strlen(why) + 1, why);
    (void)!send(fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* What was sent is read first, so that no reset overtakes the answer. */
void sse__pending_deny(sse__loop *loop, sse__pending *pending)
{
    char request[REQUEST_BYTES + 1];
    ssize_t n = recv(pending->fd, request, REQUEST_BYTES, MSG_DONTWAIT);
    if (n <= 0)
        return;
    request[n] = '\0';
    bool whole = strstr(request, "\r\n\r\n") || strstr(request, "\n\n");
    if (!whole || is_event_source(request)) /* of half a head nobody knows who sent it */
        return;
    sse__hub_count_answer(loop->hub, 429);
    answer(pending->fd, "429 Too Many Requests", pending->retry_after_s,
           pending->denial == SSE__DENIED_RATE ? TOO_OFTEN : TOO_MANY);
    if (has_body(request)) {
        sse__discard_begin(loop, pending->fd, NULL);
        pending->fd = -1;
    }
}

void sse__refuse_full(sse__loop *loop, int fd)
{
    answer(fd, "503 Service Unavailable", RETRY_WHEN_FULL_S, FULL);
    sse__discard_begin(loop, fd, NULL);
}

void sse__refuse_plain(sse__loop *loop, sse__pending *pending)
{
    sse__hub_count_answer(loop->hub, 400);
    tell_one(loop->hub, (const struct sockaddr *)&pending->address, 400, NOT_TLS);
    answer(pending->fd, "400 Bad Request", 0, NOT_TLS);
    sse__discard_begin(loop, pending->fd, pending->visitor);
    pending->fd = -1;
    pending->visitor = NULL;
}
