/* sse-bench against https: sse-server, a server that makes records of odd sizes and speaks of keys
 * and tickets in between, certificates that must not be believed, and peers that break off. */
#include "../e2e/json.h"
#include "../support/scripted_server.h"
#include "cert.h"
#include "program.h"
#include "relay.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HUB_TLS(name) "--tls-cert", cert_path(name, "crt"), "--tls-key", cert_path(name, "key")

/* sse-server with the default certificate. */
static proc *start_hub(const char *const args[], uint16_t *port)
{
    const char *argv[16];
    size_t n = 0;
    const char *name = cert_default();
    const char *const tls[] = {HUB_TLS(name)};
    for (; args[n]; n++)
        argv[n] = args[n];
    for (size_t i = 0; i < 4; i++)
        argv[n++] = tls[i];
    argv[n] = NULL;
    proc *hub = proc_start_server(argv, port);
    cr_assert_not_null(hub);
    return hub;
}

static void end_hub(proc *hub)
{
    cr_assert_eq(proc_stop(hub, LONG), 0);
    proc_free(hub);
}

/* What the test's authority says is believed. */
static const char *authority(void)
{
    (void)cert_default();
    return cert_path("ca", "crt");
}

/* ---- against sse-server ---- */

Test(bench_tls, load_publishes_and_checks_each_event)
{
    uint16_t port;
    proc *hub = start_hub(ARGS("--auto-stream"), &port);
    const char *url = https_of(port, "/events"), *json = temporary();
    expect_code(ARGS("load", url, "--publish-url", url, "--cacert", authority(), "--subscribers",
                     "30", "--streams", "3", "--rate=50", "--duration", "0.5", "--warmup", "0.1",
                     "--threads", "2", "--json", json),
                0, NULL);
    char *text = read_json(json);
    const char *r = server_of(text, 0, "load", "target");
    expect_nothing_lost(r);
    expect_latency(r);
    cr_assert_eq(number(r, "subscribers"), 30);
    cr_assert_eq(number(r, "disconnected"), 0);
    cr_assert_geq(number(r, "published"), 75, "3 streams, 50 a second, half a second");
    free(text);
    end_hub(hub);
}

/* Each event takes several records. */
Test(bench_tls, events_larger_than_records)
{
    uint16_t port;
    proc *hub = start_hub(ARGS("--auto-stream"), &port);
    const char *url = https_of(port, "/events"), *json = temporary();
    expect_code(ARGS("load", url, "--publish-url", url, "--cacert", authority(), "--subscribers",
                     "5", "--streams=1", "--rate=40", "--payload=65536", "--duration=0.4",
                     "--warmup=0.1", "--json", json),
                0, NULL);
    char *text = read_json(json);
    const char *r = server_of(text, 0, "load", "target");
    expect_nothing_lost(r);
    cr_assert_eq(number(r, "misdelivered"), 0, "each of the full length");
    cr_assert_geq(number(r, "published"), 16);
    free(text);
    end_hub(hub);
}

/* Flat out, a record holds many events, and a read many records. */
Test(bench_tls, records_of_many_events)
{
    uint16_t port;
    proc *hub = start_hub(ARGS("--auto-stream", "--slow-consumer=block"), &port);
    const char *url = https_of(port, "/events"), *json = temporary();
    expect_code(ARGS("load", url, "--publish-url", url, "--cacert", authority(), "--subscribers",
                     "4", "--streams=1", "--rate=max", "--duration=0.3", "--warmup=0.1", "--json",
                     json),
                0, NULL);
    char *text = read_json(json);
    const char *r = server_of(text, 0, "load", "target");
    expect_nothing_lost(r);
    cr_assert_geq(number(r, "published"), 256, "a whole batch went out");
    free(text);
    end_hub(hub);
}

Test(bench_tls, storm_counts_until_all_are_served_again)
{
    uint16_t port;
    int code;
    proc *hub = start_hub(ARGS("--stream", "s"), &port);
    const char *json = temporary();
    proc *p = bench(ARGS("storm", https_of(port, "/events?stream=s"), "--cacert", authority(),
                         "--subscribers", "40", "--waves", "2", "--threads", "2", "--json", json),
                    &code);
    cr_assert_eq(code, 0, "exit %d: %s", code, proc_stderr(p, NULL));
    cr_assert(strstr(proc_stdout(p, NULL), "wave 2: all 40 served"));
    proc_free(p);
    char *text = read_json(json);
    expect_latency(server_of(text, 0, "storm", "target"));
    free(text);
    end_hub(hub);
}

/* Each URL has a scheme of its own. */
Test(bench_tls, plain_subscribers_and_a_publisher_over_tls)
{
    uint16_t port, plain;
    (void)cert_default();
    proc *hub = proc_start_server(ARGS("--listen", "https://127.0.0.1:0", "--listen",
                                       "http://127.0.0.1:0", "--auto-stream", HUB_TLS("server")),
                                  &port);
    cr_assert_not_null(hub);
    const char *second = strstr(proc_stdout(hub, NULL), "listening on http://127.0.0.1:");
    cr_assert_not_null(second, "stdout is: %s", proc_stdout(hub, NULL));
    plain = (uint16_t)strtoul(strrchr(second, ':') + 1, NULL, 10);
    const char *subscribe[] = {url_of(plain, "/events"), https_of(port, "/events")};
    const char *publish[] = {https_of(port, "/events"), url_of(plain, "/events")};
    for (int i = 0; i < 2; i++) {
        const char *json = temporary();
        expect_code(ARGS("load", subscribe[i], "--publish-url", publish[i], "--cacert", authority(),
                         "--subscribers", "3", "--streams=1", "--rate=100", "--duration=0.2",
                         "--warmup=0.1", "--json", json),
                    0, NULL);
        char *text = read_json(json);
        const char *r = server_of(text, 0, "load", "target");
        expect_nothing_lost(r);
        cr_assert_geq(number(r, "published"), 20);
        free(text);
    }
    expect_code(ARGS("load", subscribe[0], "--publish-url", publish[0], "--subscribers", "1",
                     "--streams=1"),
                69, "publisher cannot connect: TLS handshake with 127.0.0.1:");
    end_hub(hub);
}

/* ---- against a server with odd records ---- */

/* Load on it. Returns the JSON. */
static char *load_relay(relay_fault fault, sealed_options tls, int expected)
{
    char cert[256], key[256];
    snprintf(cert, sizeof cert, "%s", cert_path(cert_default(), "crt"));
    snprintf(key, sizeof key, "%s", cert_path(cert_default(), "key"));
    tls.cert = cert;
    tls.key = key;
    relay *r = relay_start_tls(fault, 5, &tls);
    const char *json = temporary(), *url = https_of(relay_port(r), "/");
    expect_code(ARGS("load", url, "--publish-url", url, "--publish-format", "plain", "--cacert",
                     authority(), "--subscribers", "3", "--rate", "100", "--duration", "0.3",
                     "--warmup", "0.1", "--json", json),
                expected, NULL);
    relay_stop(r);
    return read_json(json);
}

static void expect_fine(sealed_options tls)
{
    char *text = load_relay(RELAY_FINE, tls, 0);
    const char *r = server_of(text, 0, "load", "target");
    expect_nothing_lost(r);
    cr_assert_eq(number(r, "disconnected"), 0);
    cr_assert_geq(number(r, "published"), 30);
    free(text);
}

Test(bench_tls, records_smaller_than_events) { expect_fine((sealed_options){.record = 7}); }

/* Tickets come with the head, new keys with an event: neither may make the client wait for a next
 * segment, which does not come after the last event. */
Test(bench_tls, keys_and_tickets_with_the_data) { expect_fine((sealed_options){.keys_every = 8}); }

Test(bench_tls, an_older_server_that_asks_for_a_new_handshake)
{
    expect_fine((sealed_options){.tls12 = true, .keys_every = 8});
}

Test(bench_tls, a_connection_that_ends_loses_the_rest)
{
    char *text = load_relay(RELAY_HANGS_UP, (sealed_options){0}, 1);
    const char *r = server_of(text, 0, "load", "target");
    cr_assert_eq(number(r, "disconnected"), 3);
    cr_assert_eq(number(r, "lost"), 3 * (number(r, "published") - 6));
    free(text);
}

Test(bench_tls, a_broken_record_ends_the_connection_and_is_told)
{
    char *text = load_relay(RELAY_BREAKS, (sealed_options){0}, 1), note[200];
    const char *r = server_of(text, 0, "load", "target");
    cr_assert_eq(number(r, "disconnected"), 3);
    cr_assert_eq(number(r, "lost"), 3 * (number(r, "published") - 6));
    const char *notes = json_member(r, "notes");
    cr_assert_not_null(notes, "no notes in %.400s", r);
    cr_assert(json_string(json_element(notes, 0), note, sizeof note));
    cr_assert(strstr(note, "TLS with 127.0.0.1:") && strstr(note, "ecryption"), "%s", note);
    free(text);
}

/* ---- whom to believe ---- */

/* Both commands refuse, all subscribers are counted, and the reason is given once. */
static void expect_refusal(uint16_t port, const char *cacert, const char *reason)
{
    const char *url = https_of(port, "/events?stream=s");
    static const char *const commands[] = {"load", "storm"};
    for (int i = 0; i < 2; i++) {
        int code;
        proc *p = bench(cacert ? ARGS(commands[i], url, "--subscribers", "3", "--cacert", cacert)
                               : ARGS(commands[i], url, "--subscribers", "3"),
                        &code);
        const char *said = proc_stderr(p, NULL);
        cr_assert_eq(code, 69, "exit %d: %s", code, said);
        cr_assert(strstr(said, reason), "stderr is: %s", said);
        cr_assert(!cacert || strstr(said, "3 of 3"), "stderr is: %s", said);
        cr_assert_eq(strchr(said, '\n'), said + strlen(said) - 1, "one line: %s", said);
        proc_free(p);
    }
}

static proc *start_hub_as(const char *name, const cert_spec *spec, uint16_t *port)
{
    cert_make(name, spec);
    proc *hub = proc_start_server(ARGS("--stream", "s", HUB_TLS(name)), port);
    cr_assert_not_null(hub);
    return hub;
}

static void load_insecurely(uint16_t port)
{
    expect_code(ARGS("load", https_of(port, "/events?stream=s"), "--subscribers", "3", "--insecure",
                     "--duration", "0.1", "--warmup", "0.1"),
                0, NULL);
}

Test(bench_tls, an_authority_that_is_not_known)
{
    uint16_t port;
    proc *hub = start_hub(ARGS("--stream", "s"), &port);
    cert_make("other", &(cert_spec){.authority = true});
    expect_refusal(port, cert_path("other", "crt"), "issuer is unknown");
    expect_refusal(port, NULL, "certificate"); /* nor does the system know it */
    load_insecurely(port);
    end_hub(hub);
}

Test(bench_tls, a_name_that_is_another)
{
    uint16_t port;
    const char *ca = authority();
    proc *hub = start_hub_as(
        "elsewhere", &(cert_spec){.issuer = "ca", .ip = "127.0.0.2", .dns = "elsewhere"}, &port);
    expect_refusal(port, ca, "name in the certificate does not match");
    load_insecurely(port);
    end_hub(hub);
}

Test(bench_tls, a_certificate_that_has_expired)
{
    uint16_t port;
    const char *ca = authority();
    proc *hub = start_hub_as(
        "old", &(cert_spec){.issuer = "ca", .ip = "127.0.0.1", .expired = true}, &port);
    expect_refusal(port, ca, "expired");
    load_insecurely(port);
    end_hub(hub);
}

/* ---- peers that break off ---- */

static void talk_nonsense(scripted_conn *c, void *user) { conn_puts(c, user); }

/* The start of a record, and no more. */
static void start_to_answer(scripted_conn *c, void *user)
{
    (void)user;
    conn_send(c, "\x16\x03\x03\x00\x7a\x02\x00", 7);
}

static void expect_broken_off(scripted_script script, const char *user, const char *reason)
{
    scripted *s = scripted_start(script, (void *)(uintptr_t)user);
    expect_refusal(scripted_port(s), authority(), reason);
    scripted_stop(s);
}

Test(bench_tls, a_server_that_does_not_speak_tls)
{
    expect_broken_off(talk_nonsense, "SSH-2.0-nothing\r\n", "does not speak TLS");
    expect_broken_off(talk_nonsense, "HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS");
}

Test(bench_tls, a_server_that_leaves_in_the_middle_of_the_handshake)
{
    expect_broken_off(talk_nonsense, "", "TLS handshake with 127.0.0.1:");
    expect_broken_off(start_to_answer, "", "TLS handshake with 127.0.0.1:");
}

/* A fatal alert: 40. */
static void refuse(scripted_conn *c, void *user)
{
    (void)user;
    conn_send(c, "\x15\x03\x03\x00\x02\x02\x28", 7);
}

Test(bench_tls, a_server_that_refuses)
{
    expect_broken_off(refuse, "", "the server refuses: Handshake failed");
}

/* ---- the command line ---- */

Test(bench_tls, authorities_that_cannot_be_read)
{
    const char *empty = temporary();
    expect_code(ARGS("load", "https://127.0.0.1:1/", "--cacert", "/does/not/exist"), 64,
                "'--cacert': /does/not/exist: No such file");
    expect_code(ARGS("storm", "https://127.0.0.1:1/", "--cacert", empty), 64, "no certificates");
    unlink(empty);
    expect_code(ARGS("load", "https://127.0.0.1:1/", "--cacert", authority()), 69,
                "connecting: Connection refused");
    expect_code(ARGS("fanout", "--insecure"), 64, "--insecure");
}

Test(bench_tls, a_build_without_it_says_so)
{
    const char *program = getenv("SSE_BENCH_WITHOUT_TLS");
    cr_assert_not_null(program);
    expect_code_of(program, ARGS("load", "https://127.0.0.1:1/"), 64, "https is not in this build");
    expect_code_of(program, ARGS("storm", "https://127.0.0.1:1/"), 64,
                   "https is not in this build");
    expect_code_of(program,
                   ARGS("load", "http://127.0.0.1:1/", "--publish-url", "https://127.0.0.1:1/"), 64,
                   "https is not in this build");
    expect_code_of(program, ARGS("load", "http://127.0.0.1:1/"), 69, "refused");
}
