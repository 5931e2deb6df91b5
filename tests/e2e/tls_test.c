/* HTTPS at the clients: --cacert, --insecure, --cert and --key against the server of the openssl
 * command, which sends a prepared answer, and against sse-server; and what of HTTPS concerns sse-server only. */
#include "../support/cert.h"
#include "e2e.h"

#include <criterion/criterion.h>
#include <curl/curl.h>
#include <signal.h>
#include <sse/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void make_certificate(const char *name)
{
    int code;
    proc *p = proc_run(
        ARGS("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
             text("/CN=%s", name), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
             text("%s/%s.key", temp_dir(), name), "-out", text("%s/%s.crt", temp_dir(), name)),
        NULL, LONG, &code);
    cr_assert(p && code == 0, "openssl: %s",
              p ? err_of(p) : "not found; scripts/deps --test installs it");
    proc_free(p);
}

static void write_answer(void)
{
    FILE *file = fopen(text("%s/events", temp_dir()), "we");
    cr_assert_not_null(file);
    fputs("HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: over TLS\n\n", file);
    fclose(file);
}

/* Start the server with these arguments more; it serves the files of its directory as whole
 * answers. */
static proc *serve(const char *more, unsigned *port)
{
    const char *command = text("cd '%s' && exec openssl s_server -accept 127.0.0.1:0 -cert "
                               "server.crt -key server.key -HTTP %s",
                               temp_dir(), more);
    proc *p = proc_start(ARGS("sh", "-c", command));
    cr_assert_not_null(p);
    const char *line;
    while ((line = proc_read_line(p, LONG)))
        if (sscanf(line, "ACCEPT 127.0.0.1:%u", port) == 1)
            return p;
    cr_assert_fail("openssl s_server does not start: %s", err_of(p));
    return NULL;
}

static void stop(proc *p)
{
    proc_signal(p, SIGKILL);
    (void)proc_wait(p, LONG);
    proc_free(p);
}

static void receives(const char *const args[])
{
    proc *p = tool_run("sse-sub", args, NULL, 0);
    cr_assert_str_eq(out_of(p), "over TLS\n");
    proc_free(p);
}

Test(tls, server_certificate)
{
    unsigned port;
    make_certificate("server");
    make_certificate("other");
    write_answer();
    proc *server = serve("", &port);
    const char *url = text("https://127.0.0.1:%u/events", port);
    tool_fails("sse-sub", ARGS("--max-attempts=1", url), NULL, 69, "certificate");
    tool_fails("sse-sub",
               ARGS("--max-attempts=1", "--cacert", text("%s/other.crt", temp_dir()), url), NULL,
               69, "certificate");
    receives(ARGS("--count=1", "--cacert", text("%s/server.crt", temp_dir()), url));
    receives(ARGS("--count=1", "--insecure", url));
    tool_fails("sse-sub", ARGS("--cacert=/nonexistent/ca.crt", "--max-attempts=1", url), NULL, 64,
               "/nonexistent/ca.crt");
    tool_fails("sse-pub", ARGS(url, "--stream=s", "x"), NULL, 69, "certificate");
    stop(server);
}

Test(tls, client_certificate)
{
    unsigned port;
    make_certificate("server");
    make_certificate("client");
    write_answer();
    proc *server = serve("-Verify 1 -verify_return_error -CAfile client.crt -no_tls1_3", &port);
    const char *url = text("https://127.0.0.1:%u/events", port);
    const char *trust = text("--cacert=%s/server.crt", temp_dir());
    proc *p = tool_run("sse-sub", ARGS("--max-attempts=1", trust, url), NULL, 69);
    cr_assert_str_eq(out_of(p), "");
    proc_free(p);
    receives(ARGS("--count=1", trust, "--cert", text("%s/client.crt", temp_dir()), "--key",
                  text("%s/client.key", temp_dir()), url));
    stop(server);
}

/* https to a server that speaks plain HTTP ends in an error, not in a wait. */
Test(tls, server_without_tls)
{
    hub h = hub_start(ARGS("--stream=s"));
    const char *url = text("https://127.0.0.1:%u", h.port);
    tool_fails("sse-sub", ARGS("--max-attempts=1", "--stream=s", url), NULL, 69, url);
    tool_fails("sse-pub", ARGS("--stream=s", url, "x"), NULL, 69, url);
    hub_end(&h);
}

/* ---- sse-server ---- */

static hub start_tls(const char *name, const char *more)
{
    hub h;
    h.process = proc_start_server(ARGS("--stream=s", "--tls-cert", cert_path(name, "crt"),
                                       "--tls-key", cert_path(name, "key"), more),
                                  &h.port);
    cr_assert_not_null(h.process);
    snprintf(h.url, sizeof h.url, "https://127.0.0.1:%u", h.port);
    return h;
}

static void publishes(const hub *h, const char *message)
{
    tool_end(tool_start("sse-pub",
                        ARGS("--cacert", cert_path("ca", "crt"), "--stream=s", h->url, message)),
             0);
}

static proc *subscribes(const hub *h, const char *more)
{
    return tool_start("sse-sub",
                      ARGS("--cacert", cert_path("ca", "crt"), "--stream=s", h->url, more));
}

/* Who checks what the server shows: unknown authority, another name, out of date. */
Test(tls, clients_verify_the_server)
{
    static const cert_spec specs[] = {{.issuer = "other", .ip = "127.0.0.1"},
                                      {.issuer = "ca", .dns = "elsewhere.example"},
                                      {.issuer = "ca", .ip = "127.0.0.1", .expired = true}};
    (void)cert_default();
    cert_make("other", &(cert_spec){.authority = true});
    for (size_t i = 0; i < 3; i++) {
        cert_make("bad", &specs[i]);
        hub h = start_tls("bad", NULL);
        const char *ca = cert_path("ca", "crt");
        tool_fails("sse-sub", ARGS("--max-attempts=1", "--cacert", ca, "--stream=s", h.url), NULL,
                   69, "ertificate");
        tool_fails("sse-pub", ARGS("--cacert", ca, "--stream=s", h.url, "x"), NULL, 69,
                   "ertificate");
        tool_end(tool_start("sse-pub", ARGS("--insecure", "--stream=s", h.url, "x")), 0);
        hub_end(&h);
    }
    hub h = start_tls("server", NULL);
    publishes(&h, "hello");
    proc *p = subscribes(&h, "--count=1");
    expect_line(p, "hello");
    tool_end(p, 0);
    hub_end(&h);
}

/* The serial number of the certificate that the server shows. */
static void shown(const hub *h, char out[128])
{
    int code;
    proc *p = proc_run(ARGS("sh", "-c",
                            text("openssl s_client -connect 127.0.0.1:%u </dev/null 2>/dev/null | "
                                 "openssl x509 -noout -serial",
                                 h->port)),
                       NULL, LONG, &code);
    cr_assert(p && code == 0);
    snprintf(out, 128, "%s", out_of(p));
    proc_free(p);
}

Test(tls, reload_keeps_subscribers)
{
    char before[128], after[128];
    (void)cert_default();
    cert_make("site", &(cert_spec){.issuer = "ca", .ip = "127.0.0.1"});
    hub h = start_tls("site", NULL);
    proc *p = subscribes(&h, "--count=3");
    publishes(&h, "1");
    expect_line(p, "1");
    shown(&h, before);
    cert_make("site", &(cert_spec){.issuer = "ca", .ip = "127.0.0.1"});
    proc_signal(h.process, SIGHUP);
    cr_assert(proc_wait_stderr(h.process, "info: reloaded", LONG));
    shown(&h, after);
    cr_assert_str_neq(before, after);
    publishes(&h, "2");
    expect_line(p, "2");
    /* One that cannot be used: the last good one stays. */
    FILE *file = fopen(cert_path("site", "key"), "we");
    cr_assert(file && fputs("nonsense", file) >= 0 && fclose(file) == 0);
    proc_signal(h.process, SIGHUP);
    cr_assert(proc_wait_stderr(h.process, "everything stays as it was", LONG));
    cr_assert_not_null(strstr(err_of(h.process), "site.key: not a private key"));
    shown(&h, before);
    cr_assert_str_eq(before, after);
    publishes(&h, "3");
    expect_line(p, "3");
    tool_end(p, 0);
    hub_end(&h);
}

Test(tls, certificates_that_are_refused)
{
    const char *cert = cert_path(cert_default(), "crt"), *key = cert_path("server", "key");
    cert_make("stranger", &(cert_spec){.ip = "127.0.0.1"});
    tool_fails("sse-server", ARGS("--tls-cert", cert), NULL, 64, "--tls-key");
    tool_fails("sse-server", ARGS("--tls-key", key), NULL, 64, "--tls-cert");
    tool_fails("sse-server", ARGS("--tls-cert=/nowhere", "--tls-key", key), NULL, 64,
               "/nowhere: No such file");
    tool_fails("sse-server", ARGS("--tls-cert", key, "--tls-key", key), NULL, 64,
               "not a certificate");
    tool_fails("sse-server", ARGS("--tls-cert", cert, "--tls-key", cert), NULL, 64,
               "not a private key");
    tool_fails("sse-server", ARGS("--tls-cert", cert, "--tls-key", cert_path("stranger", "key")),
               NULL, 64, "is not that of the certificate");
    tool_fails("sse-server", ARGS("--listen=https://127.0.0.1:0"), NULL, 64, "HTTPS needs");
}

static size_t der_size(const char *name)
{
    int code;
    struct stat info;
    const char *file = text("%s/%s.der", temp_dir(), name);
    proc *p = proc_run(
        ARGS("openssl", "x509", "-in", cert_path(name, "crt"), "-outform", "DER", "-out", file),
        NULL, LONG, &code);
    cr_assert(p && code == 0 && stat(file, &info) == 0);
    proc_free(p);
    return (size_t)info.st_size;
}

/* NAME.crt: the server's certificate, followed by this many of its authority. */
static void write_chain(const char *name, size_t authorities)
{
    static char pem[2][4096];
    FILE *from[] = {fopen(cert_path("server", "crt"), "re"), fopen(cert_path("ca", "crt"), "re")};
    FILE *to = fopen(cert_path(name, "crt"), "we");
    for (size_t i = 0; i < 2; i++) {
        size_t n = fread(pem[i], 1, sizeof pem[i] - 1, from[i]);
        cr_assert_gt(n, 0);
        pem[i][n] = '\0';
        fclose(from[i]);
    }
    cr_assert(fputs(pem[0], to) >= 0);
    while (authorities-- > 0)
        cr_assert(fputs(pem[1], to) >= 0);
    cr_assert_eq(fclose(to), 0);
}

static void publishes_unverified(const hub *h)
{
    tool_end(tool_start("sse-pub", ARGS("--insecure", "--stream=s", h->url, "x")), 0);
}

/* Up to 100 KiB a handshake with all of them works; a longer chain, which no client of OpenSSL's would take, is told at the start and
 * on a reload, where the chain before it stays. */
Test(tls, chain_that_is_too_long)
{
    enum { MOST = 102400 };
    (void)cert_default();
    size_t each = 3 + der_size("ca") + 2, first = 1 + 3 + 3 + der_size("server") + 2;
    size_t n = (MOST - first) / each;
    cr_assert_eq(rename(cert_path("server", "key"), cert_path("long", "key")), 0);
    write_chain("long", n);
    hub h = start_tls("long", NULL);
    publishes_unverified(&h);
    write_chain("long", n + 1);
    const char *told = text("%s: its %zu certificates make %zu bytes", cert_path("long", "crt"),
                            n + 2, first + (n + 1) * each);
    proc_signal(h.process, SIGHUP);
    cr_assert(proc_wait_stderr(h.process, "everything stays as it was", LONG));
    cr_assert_not_null(strstr(err_of(h.process), told), "%s", err_of(h.process));
    publishes_unverified(&h);
    hub_end(&h);
    tool_fails("sse-server",
               ARGS("--tls-cert", cert_path("long", "crt"), "--tls-key", cert_path("long", "key")),
               NULL, 64, told);
}

Test(tls, only_new_versions)
{
    int code;
    (void)cert_default();
    hub h = start_tls("server", NULL);
    static const char *const versions[] = {"-tls1", "-tls1_1", "-tls1_2", "-tls1_3"};
    for (int i = 0; i < 4; i++) {
        proc *p = proc_run(ARGS("openssl", "s_client", "-connect", text("127.0.0.1:%u", h.port),
                                versions[i], "-cipher", "ALL:@SECLEVEL=0"),
                           "", LONG, &code);
        cr_assert_not_null(p);
        cr_assert_eq(code == 0, i >= 2, "%s: %d", versions[i], code);
        proc_free(p);
    }
    hub_end(&h);
}

/* ---- the hook that receives the CURL * ---- */

typedef struct pin {
    const char *key; /* file of the public key that the server must have */
    _Atomic int asked, errors;
    _Atomic int error; /* sse_err of the last one */
    char data[64];     /* of the last event */
} pin;

/* Nobody has signed the certificate: the key is verified instead of the chain. */
static sse_err pin_key(void *user, sse_subscription *sub, void *curl)
{
    pin *p = user;
    (void)sub;
    p->asked++;
    return curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L) == CURLE_OK &&
                   curl_easy_setopt(curl, CURLOPT_PINNEDPUBLICKEY, p->key) == CURLE_OK
               ? SSE_OK
               : SSE_ECANCELED;
}

static void note_event(void *user, sse_subscription *sub, const sse_event *event)
{
    pin *p = user;
    (void)sub;
    snprintf(p->data, sizeof p->data, "%.*s", (int)event->data.len, event->data.ptr);
    sse_subscription_close(sub);
}

static void note_error(void *user, sse_subscription *sub, const sse_client_error *error)
{
    pin *p = user;
    (void)sub;
    p->error = (int)error->err;
    p->errors++;
}

static const char *public_key(const char *name)
{
    int code;
    const char *file = text("%s/%s.pub", temp_dir(), name);
    proc *p = proc_run(
        ARGS("openssl", "x509", "-in", cert_path(name, "crt"), "-pubkey", "-noout", "-out", file),
        NULL, LONG, &code);
    cr_assert(p && code == 0);
    proc_free(p);
    return file;
}

/* Subscribe with this key pinned until the first event, or until it gives up after two attempts. */
static sse_err subscribe_pinned(const hub *h, pin *p)
{
    sse_client *client;
    sse_client_options options = SSE_CLIENT_OPTIONS_INIT;
    sse_client_callbacks callbacks = SSE_CLIENT_CALLBACKS_INIT;
    options.on_request = pin_key;
    options.user = p;
    options.max_attempts = 2;
    options.retry_ms = 1;
    options.max_retry_ms = 1;
    callbacks.on_event = note_event;
    callbacks.on_error = note_error;
    cr_assert_eq(sse_client_new(text("%s/events", h->url), &options, &client), SSE_OK);
    sse_err err = sse_client_subscribe(client, "s", &callbacks, p);
    sse_client_free(client);
    return err;
}

/* What the hook sets is set in each connection, and refuses a server with another key. */
Test(tls, connection_hook)
{
    (void)cert_default();
    cert_make("alone", &(cert_spec){.ip = "127.0.0.1"});
    pin right = {.key = public_key("alone")}, wrong = {.key = public_key("server")};
    hub h = start_tls("alone", NULL);
    tool_end(tool_start("sse-pub", ARGS("--insecure", "--stream=s", h.url, "pinned")), 0);
    cr_assert_eq(subscribe_pinned(&h, &right), SSE_ECANCELED);
    cr_assert_str_eq(right.data, "pinned");
    cr_assert_eq(right.asked, 1);
    cr_assert_eq(subscribe_pinned(&h, &wrong), SSE_EGAVEUP);
    cr_assert_str_eq(wrong.data, "");
    cr_assert_eq(wrong.error, (int)SSE_ETLS, "%s", sse_errname((sse_err)wrong.error));
    cr_assert_eq(wrong.asked, 2);
    hub_end(&h);
}

/* One server, one stream, both kinds of listeners; http to the port for https is told so. */
Test(tls, plain_beside_it)
{
    uint16_t plain;
    (void)cert_default();
    proc *p = proc_start(ARGS(proc_bin("sse-server"), "--stream=s", "--listen=127.0.0.1:0",
                              "--listen=http://127.0.0.1:0", "--tls-cert",
                              cert_path("server", "crt"), "--tls-key", cert_path("server", "key")));
    hub h = {.process = p};
    const char *line = proc_read_line(p, LONG);
    cr_assert(line && sscanf(line, "listening on https://127.0.0.1:%hu", &h.port) == 1, "%s", line);
    snprintf(h.url, sizeof h.url, "https://127.0.0.1:%u", h.port);
    line = proc_read_line(p, LONG);
    cr_assert(line && sscanf(line, "listening on http://127.0.0.1:%hu", &plain) == 1, "%s", line);
    hub other = {.process = p, .port = plain};
    http_conn *c = follow(&other, "s", NULL, NULL);
    publishes(&h, "over TLS");
    expect_data(c, "over TLS");
    http_close(c);
    expect(&h, "GET", "/healthz", NULL, NULL, 400, "This port speaks HTTPS");
    hub_end(&h);
}
