/* HTTP/1.1 for the load client; see http1.h. No threads, no I/O but resolving, and looking which of several
 * addresses answers. */
#include "http1.h"

#include "tool.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>
#include <unistd.h>

#define TRY_MS 3000

/* ---- requests ---- */

static bool answers(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    int error = connect(fd, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    socklen_t len = sizeof error;
    if (error == EINPROGRESS && poll(&p, 1, TRY_MS) == 1)
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    close(fd);
    return error == 0;
}

/* localhost is ::1 and 127.0.0.1, and many a server listens at one of them only. */
const struct addrinfo *http_address(const struct addrinfo *list)
{
    const struct addrinfo *a = list;
    while (list->ai_next && a && !answers(a))
        a = a->ai_next;
    return a ? a : list;
}

static const char *resolve(http_url *url, const char *host, const char *port)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    int error = getaddrinfo(host, port, &hints, &list);
    url->unresolved = error != 0;
    if (error != 0)
        return gai_strerror(error);
    const struct addrinfo *a = http_address(list);
    memcpy(&url->address, a->ai_addr, a->ai_addrlen);
    url->address_len = a->ai_addrlen;
    freeaddrinfo(list);
    return NULL;
}

static bool is_port(const char *text)
{
    size_t n = strlen(text);
    long number = strtol(text, NULL, 10);
    return n > 0 && n <= 5 && strspn(text, "0123456789") == n && number >= 1 && number <= 65535;
}

/* Host and port of the authority. */
static const char *take_host(http_url *url)
{
    char copy[sizeof url->authority];
    memcpy(copy, url->authority, sizeof copy);
    char *bracket = *copy == '[' ? strchr(copy, ']') : NULL;
    if (*copy == '[' && (!bracket || (bracket[1] != '\0' && bracket[1] != ':')))
        return "its address has no end, which is a ]";
    char *colon = strrchr(bracket ? bracket : copy, ':');
    const char *port = url->tls ? "443" : "80", *host = copy + (bracket ? 1 : 0);
    if (colon) {
        *colon = '\0';
        if (colon[1] != '\0') /* none after the colon is the scheme's own */
            port = colon + 1;
    }
    if (!is_port(port))
        return "its port is not a number from 1 to 65535";
    if (bracket)
        *bracket = '\0';
    size_t n = strlen(host);
    if (n > 1 && host[n - 1] == '.') /* certificates name hosts without it */
        n--;
    memcpy(url->host, host, n);
    return resolve(url, host, port);
}

const char *http_url_parse(http_url *url, const char *text)
{
    memset(url, 0, sizeof *url);
    url->tls = strncasecmp(text, "https://", 8) == 0;
    if (!url->tls && strncasecmp(text, "http://", 7) != 0)
        return "it begins neither with http:// nor with https://";
    const char *authority = text + (url->tls ? 8 : 7);
    size_t n = strcspn(authority, "/?#");
    for (const char *p = text; *p; p++)
        if (iscntrl((unsigned char)*p) || *p == ' ')
            return "it holds a space or a control character, which is written as % and two digits";
    if (memchr(authority, '@', n))
        return "it holds a user; pass --header 'Authorization: ...' instead";
    if (n == 0 || *authority == ':')
        return "it names no host";
    if (n >= sizeof url->authority)
        return "its host is too long";
    memcpy(url->authority, authority, n);

    const char *path = authority + n;
    size_t len = strcspn(path, "#");
    bool bare = len == 0 || *path == '?' || (len == 1 && *path == '/');
    if (len + sizeof "/events" >= sizeof url->target)
        return "it is too long";
    snprintf(url->target, sizeof url->target, "%s%.*s", bare ? "/events" : "",
             bare && len == 1 ? 0 : (int)len, path);

    return take_host(url);
}

const char *http_url_unix(http_url *url, const char *path)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&url->address;
    memset(&url->address, 0, sizeof url->address);
    url->unresolved = false;
    if (strlen(path) >= sizeof un->sun_path)
        return "the path of the socket is too long";
    un->sun_family = AF_UNIX;
    strcpy(un->sun_path, path);
    url->address_len = sizeof *un;
    return NULL;
}

void http_target(const http_url *url, uint32_t stream, bool named, char out[2112])
{
    const char *hole = strstr(url->target, "{}");
    if (hole)
        snprintf(out, 2112, "%.*s%u%s", (int)(hole - url->target), url->target, stream, hole + 2);
    else if (named)
        snprintf(out, 2112, "%s%cstream=bench-%u", url->target,
                 strchr(url->target, '?') ? '&' : '?', stream);
    else
        snprintf(out, 2112, "%s", url->target);
}

char *http_request(const char *method, const char *target, const http_url *url,
                   const char *const *headers, const char *body_type)
{
    tool_buffer b = {0};
    char line[2400];
    snprintf(line, sizeof line, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, target, url->authority);
    tool_buffer_adds(&b, line);
    for (; headers && *headers; headers++) {
        tool_buffer_adds(&b, *headers);
        tool_buffer_adds(&b, "\r\n");
    }
    if (body_type)
        snprintf(line, sizeof line, "Content-Type: %s\r\n", body_type);
    else
        snprintf(line, sizeof line, "Accept: text/event-stream\r\n\r\n");
    tool_buffer_adds(&b, line);
    tool_buffer_add(&b, "", 1);
    return b.bytes;
}

/* ---- the head of an answer ---- */

/* The value of a header line that has this name, or NULL. */
static const char *header_value(const char *line, size_t n, const char *name)
{
    size_t len = strlen(name);
    if (n <= len || strncasecmp(line, name, len) != 0 || line[len] != ':')
        return NULL;
    const char *value = line + len + 1;
    while (value < line + n && (*value == ' ' || *value == '\t'))
        value++;
    return value;
}

static bool begins(const char *value, const char *end, const char *word)
{
    size_t len = strlen(word);
    return (size_t)(end - value) >= len && strncasecmp(value, word, len) == 0;
}

static void take_header(http_head *head, const char *line, size_t n)
{
    const char *end = line + n, *value;
    if ((value = header_value(line, n, "Transfer-Encoding"))) {
        head->chunked = begins(value, end, "chunked");
    } else if ((value = header_value(line, n, "Content-Length"))) {
        head->has_length = true;
        head->content_length = 0;
        for (; value < end && *value >= '0' && *value <= '9'; value++)
            head->content_length = head->content_length * 10 + (uint64_t)(*value - '0');
    } else if ((value = header_value(line, n, "Connection"))) {
        head->close = begins(value, end, "close");
    } else if ((value = header_value(line, n, "Content-Type"))) {
        head->event_stream = begins(value, end, "text/event-stream");
    }
}

static bool take_status(http_head *head, const char *line, size_t n)
{
    if (n < 12 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ')
        return false;
    for (int i = 9; i < 12; i++) {
        if (line[i] < '0' || line[i] > '9')
            return false;
        head->status = head->status * 10 + (line[i] - '0');
    }
    head->close = line[7] == '0';
    return true;
}

long http_head_parse(http_head *head, const char *bytes, size_t n)
{
    const char *p = bytes, *end = bytes + n;
    memset(head, 0, sizeof *head);
    bool first = true;
    while (p < end) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        if (!lf)
            return 0;
        size_t len = (size_t)(lf - p) - (lf > p && lf[-1] == '\r');
        if (first && !take_status(head, p, len))
            return -1;
        if (!first && len > 0)
            take_header(head, p, len);
        bool over = !first && len == 0;
        first = false;
        p = lf + 1;
        if (over && head->status >= 200)
            return p - bytes;
        if (over) {
            memset(head, 0, sizeof *head);
            first = true;
        }
    }
    return 0;
}

/* ---- chunked bodies ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static http_chunk_state after_size(const http_chunks *c)
{
    return c->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
}

static void take_size(http_chunks *c, char byte)
{
    int digit = hex_digit(byte);
    if (digit >= 0 && c->left >> 56 == 0) {
        c->left = c->left << 4 | (uint64_t)digit;
        c->state = CHUNK_SIZE_REST;
    } else if (digit >= 0 || c->state == CHUNK_SIZE) {
        c->state = CHUNK_BROKEN;
    } else if (byte == '\r') {
        c->state = CHUNK_SIZE_LF;
    } else {
        c->state = byte == '\n' ? after_size(c) : CHUNK_EXTENSION;
    }
}

/* One byte of framing. */
static void take_framing(http_chunks *c, char byte)
{
    switch (c->state) {
    case CHUNK_SIZE:
    case CHUNK_SIZE_REST:
        take_size(c, byte);
        break;
    case CHUNK_EXTENSION:
    case CHUNK_SIZE_LF:
        if (byte == '\n')
            c->state = after_size(c);
        break;
    case CHUNK_DATA_CR:
        c->state = byte == '\r' ? CHUNK_DATA_LF : CHUNK_BROKEN;
        break;
    case CHUNK_DATA_LF:
        c->state = byte == '\n' ? CHUNK_SIZE : CHUNK_BROKEN;
        break;
    case CHUNK_TRAILER:
        if (byte == '\n')
            c->state = CHUNK_END;
        else if (byte != '\r')
            c->state = CHUNK_TRAILER_REST;
        break;
    case CHUNK_TRAILER_REST:
        if (byte == '\n')
            c->state = CHUNK_TRAILER;
        break;
    case CHUNK_DATA:
    case CHUNK_END:
    case CHUNK_BROKEN:
        break;
    }
}

size_t http_chunks_next(http_chunks *c, const char *bytes, size_t n, const char **data, size_t *len)
{
    size_t used = 0;
    *len = 0;
    *data = bytes;
    while (used < n && c->state != CHUNK_DATA) {
        if (c->state == CHUNK_END || c->state == CHUNK_BROKEN)
            return used;
        take_framing(c, bytes[used++]);
    }
    if (used == n)
        return used;
    size_t piece = n - used;
    if (c->left <= piece) {
        piece = (size_t)c->left;
        c->state = CHUNK_DATA_CR;
    }
    c->left -= piece;
    *data = bytes + used;
    *len = piece;
    return used + piece;
}
