/* HTTPS at the clients: --cacert, --insecure, --cert and --key against the server of the openssl
 * command, which sends a prepared answer (sse-server has no TLS yet). */
#include "e2e.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
