/* The transport on libcurl: the only file that includes it.
 *
 * Threads: each transport has a multi handle with one easy handle, both used by the thread that
 * performs. Only sse__transport_wakeup() comes from elsewhere: curl_multi_wakeup() is made for
 * that. All waiting is curl_multi_poll(), so a wake-up ends it in every state: resolving
 * (CURLOPT_QUICK_EXIT keeps curl from joining its resolver's thread), connecting, in the TLS
 * handshake, reading, between requests.
 *
 * When an answer is judged: a 2xx as soon as its headers have ended, so that an open stream is
 * known before its first event. Any other answer only with its first byte of body or its end,
 * because curl may still follow it (redirects, authentication).
 *
 * A refusal (400 or above, and on_response wants no stream of it) goes on a little after its
 * judgement: its body says why. REFUSAL_MS and SSE__MOST_REFUSAL bound what is read of it, so that
 * neither a body without an end nor one that does not come delays what follows.
 *
 * Deadlines are checked here and not by curl, whose low-speed limit has whole seconds: connecting
 * is curl's, then response_timeout from the request to the judgement, then idle_timeout since the
 * last byte. The time inside callbacks does not count. */
#include "transport.h"

#include "clock.h"
#include "header.h"
#include "url.h"

#include <curl/curl.h>
#include <limits.h>
#include <sse/version.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NEVER UINT64_MAX
/* How long an answer that is no stream may hold its body back before its headers alone are judged.
 */
#define LINGER_MS 2000u
/* How long the body of a refusal is waited for. */
#define REFUSAL_MS 1000u
#define LONGEST_POLL_MS 3600000u
/* Header lines behind a body (trailers): curl keeps each of them and knows no limit to their number. */
#define MOST_TRAILER_BYTES 65536u

struct sse__transport {
    const sse__transport_config *config;
    sse__transport_callbacks callbacks;
    void *user;
    CURLM *multi;

    /* performing thread only */
    CURL *easy;
    struct curl_slist *headers;
    uint64_t deadline_ms;
    size_t trailer_bytes; /* header lines since the judgement */
    sse_err verdict;      /* what ended the request from our side */
    bool judged;          /* on_response has been called */
    bool sent;            /* a request has gone out */
    bool answered;        /* its answer has begun */
    bool complete;        /* the empty line after the headers has come */
    bool headers_ended;   /* of an answer that waits to be judged */
    bool refused;         /* judged, and only the reason for the refusal is still read */
    size_t refusal_len;
    char refusal[SSE__MOST_REFUSAL + 1];
    char errbuf[CURL_ERROR_SIZE];
    char message[CURL_ERROR_SIZE + 64];
};

static atomic_bool initialised;

/* A failure is not kept: there may be memory the next time. curl locks for itself here, and where
 * two threads come at once the second call only counts. */
static sse_err init(void)
{
    if (!initialised) {
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
            return SSE_ENOMEM;
        initialised = true;
    }
    return SSE_OK;
}

sse_err sse__transport_check_url(const char *url)
{
    if (init() != SSE_OK)
        return SSE_ENOMEM;
    CURLU *u = curl_url();
    char *scheme = NULL;
    if (!u)
        return SSE_ENOMEM;
    CURLUcode rc = curl_url_set(u, CURLUPART_URL, url, CURLU_GUESS_SCHEME);
    if (rc == CURLUE_OK)
        rc = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0);
    sse_err err = SSE_EINVAL;
    if (rc == CURLUE_OUT_OF_MEMORY)
        err = SSE_ENOMEM;
    else if (rc == CURLUE_OK && (!strstr(url, "://") || strcasecmp(scheme, "http") == 0 ||
                                 strcasecmp(scheme, "https") == 0))
        err = SSE_OK;
    curl_free(scheme);
    curl_url_cleanup(u);
    return err;
}

sse_err sse__transport_new(const sse__transport_config *config,
                           const sse__transport_callbacks *callbacks, void *user,
                           sse__transport **out)
{
    *out = NULL;
    sse_err err = init();
    if (err != SSE_OK)
        return err;
    sse__transport *t = calloc(1, sizeof *t);
    if (!t)
        return SSE_ENOMEM;
    t->config = config;
    t->callbacks = *callbacks;
    t->user = user;
    t->multi = curl_multi_init();
    t->easy = curl_easy_init();
    if (!t->multi || !t->easy || curl_multi_wakeup(t->multi) != CURLM_OK) {
        /* A multi without its wake-up descriptors would make cancelling wait for the network. */
        err = t->multi && t->easy ? SSE_ESYS : SSE_ENOMEM;
        sse__transport_free(t);
        return err;
    }
    *out = t;
    return SSE_OK;
}

void sse__transport_free(sse__transport *t)
{
    if (!t)
        return;
    curl_easy_cleanup(t->easy);
    curl_multi_cleanup(t->multi);
    curl_slist_free_all(t->headers);
    free(t);
}

void sse__transport_wakeup(sse__transport *t) { curl_multi_wakeup(t->multi); }

const char *sse__transport_header(sse__transport *t, const char *name)
{
    struct curl_header *h = NULL;
    if (curl_easy_header(t->easy, name, 0, CURLH_HEADER, -1, &h) != CURLHE_OK)
        return NULL;
    return h->value;
}

/* ---- Deadlines ---- */

static uint64_t in_ms(uint32_t ms) { return ms == SSE_OFF ? NEVER : sse__now_ms() + ms; }

static void touch(sse__transport *t)
{
    if (t->judged && !t->refused && t->config->idle_timeout_ms != SSE_OFF)
        t->deadline_ms = in_ms(t->config->idle_timeout_ms);
}

static int poll_ms(uint64_t deadline_ms)
{
    uint64_t now = sse__now_ms();
    if (deadline_ms <= now)
        return 0;
    uint64_t left = deadline_ms - now;
    return (int)(left < LONGEST_POLL_MS ? left : LONGEST_POLL_MS);
}

/* ---- What curl calls ---- */

static int on_prereq(void *user, char *ip, char *local_ip, int port, int local_port)
{
    (void)ip, (void)local_ip, (void)port, (void)local_port;
    sse__transport *t = user;
    t->sent = true;
    t->answered = t->complete = t->headers_ended = false;
    t->deadline_ms = in_ms(t->config->response_timeout_ms);
    return CURL_PREREQFUNC_OK;
}

static int status_of(sse__transport *t)
{
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

static const char *string_info(sse__transport *t, CURLINFO info)
{
    char *s = NULL;
    curl_easy_getinfo(t->easy, info, &s);
    return s;
}

static const char *url_of(sse__transport *t)
{
    const char *url = string_info(t, CURLINFO_EFFECTIVE_URL);
    return url ? url : "";
}

/* Bring the deadline forward; what it was before still holds. */
static void expect_within(sse__transport *t, uint32_t ms)
{
    uint64_t soon = in_ms(ms);
    if (soon < t->deadline_ms)
        t->deadline_ms = soon;
}

static void judge(sse__transport *t)
{
    sse_response response = {.status = status_of(t),
                             .content_type = string_info(t, CURLINFO_CONTENT_TYPE),
                             .url = url_of(t),
                             .transport = t};
    t->judged = true;
    t->verdict = t->callbacks.on_response(t->user, &response);
    t->refused = t->verdict != SSE_OK && t->verdict != SSE_ECANCELED && response.status >= 400;
    if (t->refused)
        expect_within(t, REFUSAL_MS);
    else
        t->deadline_ms = in_ms(t->config->idle_timeout_ms);
}

/* An answer that is not a 2xx: its headers have ended. */
static void headers_ended(sse__transport *t, int status)
{
    const char *location = sse__transport_header(t, "Location");
    if (status < 300 || (status < 400 && location && *location))
        return; /* 1xx, or a redirect that curl is about to follow */
    t->headers_ended = true;
    expect_within(t, LINGER_MS);
}

static size_t on_trailer(sse__transport *t, size_t n)
{
    t->trailer_bytes += n;
    if (t->trailer_bytes <= MOST_TRAILER_BYTES)
        return n;
    if (t->refused)
        return 0;
    snprintf(t->message, sizeof t->message, "header lines without an end behind the body");
    t->verdict = SSE_ENETWORK;
    return 0;
}

static size_t on_header(char *line, size_t size, size_t n, void *user)
{
    sse__transport *t = user;
    n *= size;
    t->answered = true;
    touch(t);
    if (t->judged)
        return on_trailer(t, n);
    bool blank = n <= 2 && (line[0] == '\r' || line[0] == '\n');
    if (!blank)
        return n;
    int status = status_of(t);
    t->complete = status >= 200;
    if (status >= 200 && status < 300)
        judge(t);
    else
        headers_ended(t, status);
    return t->verdict == SSE_OK ? n : 0;
}

/* Ends the request as soon as there is no room left. */
static size_t on_refusal(sse__transport *t, const char *bytes, size_t n)
{
    size_t room = SSE__MOST_REFUSAL - t->refusal_len;
    size_t taken = n < room ? n : room;
    memcpy(t->refusal + t->refusal_len, bytes, taken);
    t->refusal_len += taken;
    return taken < room ? n : 0;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *user)
{
    sse__transport *t = user;
    n *= size;
    if (!t->judged)
        judge(t);
    if (t->refused)
        return on_refusal(t, bytes, n);
    if (t->verdict == SSE_OK)
        t->verdict = t->callbacks.on_body(t->user, bytes, n);
    touch(t);
    return t->verdict == SSE_OK ? n : 0;
}

/* ---- Setting up a request ---- */

#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (rc == CURLE_OK)                                                                        \
            rc = curl_easy_setopt(t->easy, option, value);                                         \
    } while (0)

static CURLcode set_callbacks(sse__transport *t)
{
    CURLcode rc = CURLE_OK;
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_PREREQFUNCTION, on_prereq);
    SET(CURLOPT_PREREQDATA, t);
    SET(CURLOPT_ERRORBUFFER, t->errbuf);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    return rc;
}

static CURLcode set_connection(sse__transport *t)
{
    const sse__transport_config *c = t->config;
    CURLcode rc = CURLE_OK;
    /* Zero would be curl's default of 300 seconds. */
    uint32_t connect = c->connect_timeout_ms <= INT_MAX ? c->connect_timeout_ms : INT_MAX;
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)connect);
    /* Where nothing is ever sent only the kernel can notice that the peer is gone. */
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_TCP_KEEPIDLE, 60L);
    SET(CURLOPT_TCP_KEEPINTVL, 15L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_DEFAULT_PROTOCOL, "http");
    SET(CURLOPT_FOLLOWLOCATION, c->max_redirects == SSE_OFF ? 0L : 1L);
    SET(CURLOPT_MAXREDIRS, (long)(c->max_redirects <= INT_MAX ? c->max_redirects : INT_MAX));
    if (c->proxy)
        SET(CURLOPT_PROXY, c->proxy);
    if (c->unix_socket)
        SET(CURLOPT_UNIX_SOCKET_PATH, c->unix_socket);
    return rc;
}

static CURLcode set_tls(sse__transport *t)
{
    const sse__transport_config *c = t->config;
    CURLcode rc = CURLE_OK;
    if (c->cacert)
        SET(CURLOPT_CAINFO, c->cacert);
    if (c->cert)
        SET(CURLOPT_SSLCERT, c->cert);
    if (c->key)
        SET(CURLOPT_SSLKEY, c->key);
    if (c->insecure) {
        SET(CURLOPT_SSL_VERIFYPEER, 0L);
        SET(CURLOPT_SSL_VERIFYHOST, 0L);
        SET(CURLOPT_PROXY_SSL_VERIFYPEER, 0L);
        SET(CURLOPT_PROXY_SSL_VERIFYHOST, 0L);
    }
    return rc;
}

/* A method of its own name only where curl would choose another one: it survives redirects, also
 * those that turn a POST into a GET. */
static CURLcode set_method(sse__transport *t, const sse__request *request)
{
    const char *method = t->config->method;
    const char *natural = request->body.ptr ? "POST" : "GET";
    CURLcode rc = CURLE_OK;
    if (request->body.ptr) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDS, request->body.ptr);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
    } else if (method && strcmp(method, "POST") == 0) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDS, "");
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
        natural = "POST";
    } else if (method && strcmp(method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
        natural = "HEAD";
    }
    if (method && strcmp(method, natural) != 0)
        SET(CURLOPT_CUSTOMREQUEST, method);
    return rc;
}

static CURLcode add_header(sse__transport *t, const char *line)
{
    struct curl_slist *list = curl_slist_append(t->headers, line);
    if (!list)
        return CURLE_OUT_OF_MEMORY;
    t->headers = list;
    return CURLE_OK;
}

static bool has_header(const sse__request *request, const char *name)
{
    for (const char *const *h = request->headers; h && *h; h++)
        if (sse__header_is(*h, name))
            return true;
    return false;
}

static CURLcode set_headers(sse__transport *t, const sse__request *request)
{
    CURLcode rc = CURLE_OK;
    curl_slist_free_all(t->headers);
    t->headers = NULL;
    for (const char *const *h = request->headers; h && *h && rc == CURLE_OK; h++)
        rc = add_header(t, *h);
    /* curl would wait for a 100 before it sends a large body, and would call any body a form. */
    if (rc == CURLE_OK)
        rc = add_header(t, "Expect:");
    if (rc == CURLE_OK && !has_header(request, "Content-Type"))
        rc = add_header(t, "Content-Type:");
    SET(CURLOPT_HTTPHEADER, t->headers);
    SET(CURLOPT_USERAGENT, "libsse/" SSE_VERSION);
    if (t->config->accept_encoding)
        SET(CURLOPT_ACCEPT_ENCODING, t->config->accept_encoding);
    return rc;
}

static CURLcode set_up(sse__transport *t, const sse__request *request)
{
    curl_easy_reset(t->easy); /* keeps connections, sessions and names */
    CURLcode rc = set_callbacks(t);
    if (rc == CURLE_OK)
        rc = set_connection(t);
    if (rc == CURLE_OK)
        rc = set_tls(t);
    if (rc == CURLE_OK)
        rc = set_method(t, request);
    if (rc == CURLE_OK)
        rc = set_headers(t, request);
    SET(CURLOPT_URL, request->url);
    return rc;
}

/* ---- Results ---- */

/* The same codes for a URL of the user's, one in a Location, and bytes that are no HTTP. */
static sse_err map_bad_protocol(const sse__transport *t)
{
    if (t->answered)
        return SSE_EREDIRECT;
    return t->sent ? SSE_ENETWORK : SSE_EINVAL;
}

/* Also what curl says of a header line that is larger than it takes (100 KiB). */
static sse_err map_no_memory(sse__transport *t)
{
    if (!t->sent || t->judged)
        return SSE_ENOMEM;
    snprintf(t->message, sizeof t->message,
             "a header line of the answer is too long, or there is no memory for it");
    return SSE_ENETWORK;
}

static sse_err map_code(sse__transport *t, CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return SSE_OK;
    case CURLE_OUT_OF_MEMORY:
        return map_no_memory(t);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return SSE_ERESOLVE;
    case CURLE_COULDNT_CONNECT:
        return SSE_ECONNECT;
    case CURLE_OPERATION_TIMEDOUT:
        return SSE_ETIMEOUT;
    case CURLE_TOO_MANY_REDIRECTS:
        return SSE_EREDIRECT;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return map_bad_protocol(t);
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_BAD_FUNCTION_ARGUMENT:
    case CURLE_UNKNOWN_OPTION:
    case CURLE_NOT_BUILT_IN:
        return SSE_EINVAL;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_USE_SSL_FAILED:
        return SSE_ETLS;
    default:
        return SSE_ENETWORK;
    }
}

/* curl understands dates, but takes a number that is too large for none at all. */
static uint64_t retry_after_ms(sse__transport *t)
{
    curl_off_t seconds = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &seconds);
    const char *value = sse__transport_header(t, "Retry-After");
    if (value && *value && strspn(value, "0123456789") == strlen(value) && strlen(value) > 15)
        return UINT64_MAX;
    return seconds > 0 ? (uint64_t)seconds * 1000 : 0;
}

static void say(sse__transport *t, sse_err err, CURLcode code)
{
    if (t->message[0])
        return;
    const char *text = sse_strerror(err);
    if (code != CURLE_OK)
        text = t->errbuf[0] ? t->errbuf : curl_easy_strerror(code);
    snprintf(t->message, sizeof t->message, "%s", text);
}

static void fill(sse__transport *t, const sse__request *request, sse_err err, CURLcode code,
                 sse__result *result)
{
    say(t, err, code);
    result->err = err;
    result->curl_code = (int)code;
    result->http_status = status_of(t);
    result->retry_after_ms = retry_after_ms(t);
    result->message = t->message;
    result->content_type = string_info(t, CURLINFO_CONTENT_TYPE);
    result->url = *url_of(t) ? url_of(t) : request->url;
    t->refusal[t->refusal_len] = '\0';
    result->body = (sse_str){t->refusal, t->refusal_len};
}

/* ---- Performing ---- */

/* The deadline has passed. Returns SSE_OK when the request may go on. */
static sse_err expire(sse__transport *t)
{
    if (t->refused)
        return t->verdict; /* what has come of the reason must do */
    if (t->judged) {
        snprintf(t->message, sizeof t->message, "nothing received for %u ms",
                 (unsigned)t->config->idle_timeout_ms);
        return SSE_EIDLE;
    }
    if (t->headers_ended) {
        judge(t);
        return t->verdict;
    }
    snprintf(t->message, sizeof t->message, "no answer within %u ms",
             (unsigned)t->config->response_timeout_ms);
    return SSE_ETIMEOUT;
}

static bool finished(sse__transport *t, CURLcode *code)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(t->multi, &left));)
        if (m->msg == CURLMSG_DONE) {
            *code = m->data.result;
            return true;
        }
    return false;
}

static sse_err drive(sse__transport *t, CURLcode *code)
{
    for (int running;;) {
        if (t->callbacks.interrupted(t->user))
            return SSE_ECANCELED;
        if (curl_multi_perform(t->multi, &running) != CURLM_OK)
            return SSE_ESYS;
        if (finished(t, code))
            return SSE_OK;
        if (t->deadline_ms != NEVER && sse__now_ms() >= t->deadline_ms) {
            sse_err err = expire(t);
            if (err != SSE_OK)
                return err;
        }
        if (curl_multi_poll(t->multi, NULL, 0, poll_ms(t->deadline_ms), NULL) != CURLM_OK)
            return SSE_ESYS;
    }
}

/* curl takes a connection that ends inside the headers for an answer without a body. */
static sse_err conclude(sse__transport *t, CURLcode *code)
{
    if (*code == CURLE_OK && !t->complete) {
        snprintf(t->message, sizeof t->message, "the connection ended inside the answer's headers");
        return SSE_ENETWORK;
    }
    if (*code == CURLE_OK && !t->judged)
        judge(t);
    if (t->verdict == SSE_OK)
        return map_code(t, *code);
    *code = CURLE_OK; /* curl complains that the callback stopped it, nothing more */
    return t->verdict;
}

static sse_err transfer(sse__transport *t, CURLcode *code)
{
    if (curl_multi_add_handle(t->multi, t->easy) != CURLM_OK)
        return SSE_ENOMEM;
    sse_err err = drive(t, code);
    if (err == SSE_OK)
        err = conclude(t, code);
    return err;
}

void sse__transport_perform(sse__transport *t, const sse__request *request, sse__result *result)
{
    t->verdict = SSE_OK;
    t->judged = t->sent = t->answered = t->complete = t->headers_ended = t->refused = false;
    t->trailer_bytes = t->refusal_len = 0;
    t->deadline_ms = NEVER; /* until the request is sent curl's connect timeout counts */
    t->errbuf[0] = t->message[0] = '\0';
    CURLcode code = set_up(t, request);
    sse_err err = code == CURLE_OK ? SSE_OK : map_code(t, code);
    if (err == SSE_OK && t->callbacks.on_request)
        err = t->callbacks.on_request(t->user, t->easy);
    if (err == SSE_OK)
        err = transfer(t, &code);
    fill(t, request, err, code, result);
    /* An unfinished transfer loses its connection with this. */
    curl_multi_remove_handle(t->multi, t->easy);
}

void sse__transport_wait(sse__transport *t, uint64_t deadline_ms)
{
    while (!t->callbacks.interrupted(t->user) && sse__now_ms() < deadline_ms)
        if (curl_multi_poll(t->multi, NULL, 0, poll_ms(deadline_ms), NULL) != CURLM_OK)
            return;
}
