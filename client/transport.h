/* The seam between the client and the HTTP library behind it. One transport performs one request at
 * a time, on the thread that calls perform; it keeps its connection for the next request where HTTP
 * allows it.
 *
 * transport_curl.c is the only file that knows what is behind it. */
#ifndef SSE__TRANSPORT_H
#define SSE__TRANSPORT_H

#include <sse/client.h>

typedef struct sse__transport sse__transport;

#define SSE__MOST_REFUSAL 4096u

/* Inside sse__transport_callbacks.on_response and until perform returns. */
struct sse_response {
    int status;
    const char *content_type; /* NULL: none */
    const char *url;
    sse__transport *transport;
};

/* What holds for every request of a transport; borrowed, must outlive it. */
typedef struct sse__transport_config {
    const char *method; /* NULL: GET or POST */
    const char *accept_encoding;
    const char *cacert, *cert, *key, *proxy, *unix_socket;
    uint32_t connect_timeout_ms;  /* SSE_OFF: none; these three have no defaults */
    uint32_t response_timeout_ms; /* SSE_OFF: none */
    uint32_t idle_timeout_ms;     /* SSE_OFF: none */
    uint32_t max_redirects;       /* SSE_OFF: do not follow */
    bool insecure;
} sse__transport_config;

/* Called by the thread that performs; user is that of sse__transport_new(). */
typedef struct sse__transport_callbacks {
    /* Everything is set: the user may change it. An error ends the request with it. */
    sse_err (*on_request)(void *user, void *handle);
    /* The answer's headers are there; redirects have been followed. An error ends the request with
     * it; of an answer with status 400 or above the beginning of the body is read first, see
     * sse__result. */
    sse_err (*on_response)(void *user, const sse_response *response);
    /* The next bytes of the body. An error ends the request with it. */
    sse_err (*on_body)(void *user, const char *bytes, size_t n);
    /* Asked after every wake-up: true ends perform with SSE_ECANCELED, and wait. */
    bool (*interrupted)(void *user);
} sse__transport_callbacks;

typedef struct sse__request {
    const char *url;
    const char *const
        *headers; /* whole lines; an empty value removes the library's default; NULL-terminated */
    sse_str body;
} sse__request;

/* How a request ended. Strings live until the next perform. */
typedef struct sse__result {
    sse_err err; /* SSE_OK: the body has ended in good order */
    int curl_code;
    int http_status; /* 0: no answer */
    uint64_t retry_after_ms;
    const char *message; /* never NULL */
    const char *content_type;
    const char *url; /* never NULL */
    /* What the server says with a status of 400 or above that on_response has refused: its first
     * SSE__MOST_REFUSAL bytes, or as much of them as comes within a second and the timeouts. A NUL
     * is behind it, others may be in it. Empty, and never NULL, otherwise. */
    sse_str body;
} sse__result;

/* Returns: SSE_OK; SSE_EINVAL: not an http or https URL. */
SSE_NODISCARD sse_err sse__transport_check_url(const char *url);

/* Thread:  any.
 * Returns: SSE_OK, SSE_ENOMEM, SSE_ESYS. */
SSE_NODISCARD sse_err sse__transport_new(const sse__transport_config *config,
                                         const sse__transport_callbacks *callbacks, void *user,
                                         sse__transport **out);
void sse__transport_free(sse__transport *t); /* NULL is fine */

/* Perform a request and wait for its end.
 * Thread:  one at a time. */
void sse__transport_perform(sse__transport *t, const sse__request *request, sse__result *result);

/* Wait until sse__now_ms() reaches deadline_ms, or callbacks.interrupted says so.
 * Thread:  that of perform. */
void sse__transport_wait(sse__transport *t, uint64_t deadline_ms);

/* Make perform and wait look at callbacks.interrupted.
 * Thread:  any; never blocks, takes no lock. */
void sse__transport_wakeup(sse__transport *t);

/* A header of the answer, or NULL; valid until the next call. */
const char *sse__transport_header(sse__transport *t, const char *name);

#endif
