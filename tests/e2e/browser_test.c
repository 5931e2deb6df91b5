/* Debian's chromium, headless, with a plain EventSource page: it receives events, and resumes after
 * a restart of the server.
 *
 * The page comes from a server of the test's own, that is from another origin than the events
 * (sse-server has --cors-origin for it). It posts what happens back to that server, one report a
 * request and in order, so that no driver is needed. */
#include "e2e.h"
#include "scripted_server.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EACH = 20 };

static const char page[] =
    "<!DOCTYPE html><meta charset=utf-8><title>test</title><script>\n"
    "let last = Promise.resolve();\n"
    "function report(text) {\n"
    "  last = last.then(() => fetch('/report', {method: 'POST', body: text}));\n"
    "}\n"
    "const source = new EventSource(decodeURIComponent(location.search.slice(1)));\n"
    "source.onopen = () => report('open');\n"
    "source.onerror = () => report('error ' + source.readyState);\n"
    "source.onmessage = (e) => report('message ' + e.data);\n"
    "source.addEventListener('typed', (e) => report('typed ' + e.lastEventId + ' ' + e.data));\n"
    "source.addEventListener('gap', (e) => report('gap ' + e.data));\n"
    "</script>";

/* Answers each request with the page; who reports does not look at it. */
static void serve_page(scripted_conn *c, void *user)
{
    while (conn_read_request(c) && conn_puts(c, user))
        ;
}

/* ---- reports ---- */

/* The body of the n-th report, in the order in which they came; NULL: not yet there. */
static const char *report_at(scripted *s, size_t n)
{
    for (size_t i = 0; i < scripted_requests(s); i++)
        if (strncmp(scripted_request(s, i), "POST /report ", 13) == 0 && n-- == 0)
            return scripted_request_body(s, i);
    return NULL;
}

struct wish {
    scripted *s;
    const char *text;
};

static bool reported(void *arg)
{
    struct wish *w = arg;
    const char *report;
    for (size_t i = 0; (report = report_at(w->s, i)); i++)
        if (strcmp(report, w->text) == 0)
            return true;
    return false;
}

static void wait_report(scripted *s, const char *report, proc *browser)
{
    struct wish w = {s, report};
    bool came = wait_until(reported, &w, LONG);
    if (!came)
        (void)proc_wait_stderr(browser, "\1", 1);
    const char *other;
    for (size_t i = 0; !came && (other = report_at(s, i)); i++)
        fprintf(stderr, "the page reported '%s'\n", other);
    cr_assert(came, "the page does not report '%s'; the browser says: %s", report, err_of(browser));
}

/* The messages must be the numbers below n, each once and in order. Returns how many connections
 * were opened. */
static int check_messages(scripted *s, size_t n)
{
    const char *report;
    size_t next = 0;
    int opened = 0;
    for (size_t i = 0; (report = report_at(s, i)); i++) {
        opened += strcmp(report, "open") == 0;
        if (strncmp(report, "message ", 8) == 0)
            cr_assert_str_eq(report + 8, text("%zu", next++));
    }
    cr_assert_eq(next, n, "%zu messages, not %zu", next, n);
    return opened;
}

/* ---- the browser ---- */

static const char *find_browser(void)
{
    static const char *const paths[] = {"/usr/bin/chromium", "/usr/bin/chromium-browser",
                                        "/usr/bin/google-chrome"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (access(paths[i], X_OK) == 0)
            return paths[i];
    return NULL;
}

static proc *start_browser(const char *path, const char *url)
{
    const char *profile = text("--user-data-dir=%s/profile", temp_dir());
    proc *p = proc_start(
        ARGS(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
             "--no-first-run", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server",
             "--ignore-certificate-errors", /* over TLS: the browser does not know the authority */
             "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", profile, url));
    cr_assert_not_null(p);
    return p;
}

Test(browser, receives_and_resumes)
{
    const char *path = find_browser();
    if (!path) {
        fprintf(stderr,
                "\n*** NO BROWSER: chromium is not installed, so nothing is tested with one. "
                "`scripts/deps --test` installs it. ***\n\n");
        cr_skip_test("chromium is not installed");
    }
    char answer[4096];
    snprintf(answer, sizeof answer,
             "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nCache-Control: no-store\r\n"
             "Content-Length: %zu\r\n\r\n%s",
             sizeof page - 1, page);
    scripted *s = scripted_start(serve_page, answer);
    char origin[64];
    snprintf(origin, sizeof origin, "http://127.0.0.1:%u", scripted_port(s));
    const char *const args[] = {"--stream=s", "--retry=100", "--cors-origin", origin, NULL};
    hub h = hub_start(args);
    proc *browser =
        start_browser(path, text("%s?%s/events%%3Fstream=s", scripted_url(s, "/"), h.url));

    publish_numbers(&h, "s", 0, EACH);
    publish(&h, "s", "&event=typed&id=%C3%A4%201", "two\nlines \xe2\x82\xac");
    wait_report(s, "typed \xc3\xa4 1 two\nlines \xe2\x82\xac", browser);
    cr_assert_eq(check_messages(s, EACH), 1);

    uint16_t port = h.port;
    for (size_t round = 1; round <= 2; round++) {
        if (round == 1)
            hub_kill(&h);
        else
            hub_end(&h);
        h = hub_start_at(port, args);
        publish_numbers(&h, "s", round * EACH, EACH);
        wait_report(s, text("message %zu", (round + 1) * EACH - 1), browser);
        cr_assert_eq(check_messages(s, (round + 1) * EACH), (int)round + 1);
    }
    (void)proc_stop(browser, LONG);
    proc_free(browser);
    scripted_stop(s);
    hub_end(&h);
}
