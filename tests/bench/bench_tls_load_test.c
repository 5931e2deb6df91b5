/* TLS under load: many subscribers on a few streams of sse-server. Only counts are judged, not times:
 * every event, once and in order, to everybody. */
#include "../delivery/scale.h"
#include "cert.h"
#include "program.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* Decryption under sanitizers is done by the same code, but not the rest. */
#define SUBSCRIBERS SCALED("500", "200")

Test(bench_tls_load, everybody_gets_everything)
{
    uint16_t port;
    const char *name = cert_default();
    proc *hub = proc_start_server(ARGS("--auto-stream", "--tls-cert", cert_path(name, "crt"),
                                       "--tls-key", cert_path(name, "key")),
                                  &port);
    cr_assert_not_null(hub);
    const char *url = https_of(port, "/events"), *json = temporary();
    expect_code(ARGS("load", url, "--publish-url", url, "--cacert", cert_path("ca", "crt"),
                     "--subscribers", SUBSCRIBERS, "--streams=4", "--rate=10", "--threads=2",
                     "--duration=3", "--warmup=0.5", "--json", json),
                0, NULL);
    char *text = read_json(json);
    const char *r = server_of(text, 0, "load", "target");
    expect_nothing_lost(r);
    cr_assert_eq(number(r, "misdelivered"), 0);
    cr_assert_eq(number(r, "disconnected"), 0);
    cr_assert_eq(number(r, "subscribers"), atof(SUBSCRIBERS));
    cr_assert_geq(number(r, "published"), 4 * 30);
    free(text);
    cr_assert_eq(proc_stop(hub, 120000), 0);
    proc_free(hub);
}
