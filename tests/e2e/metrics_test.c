/* What `promtool check metrics` of Prometheus says to /metrics of a server that has worked: nothing. */
#include "e2e.h"
#include "metrics.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

static hub busy_hub(void)
{
    hub h = hub_start(ARGS("--stream=s", "--stream=quo\"te\\", "--stream=\xc3\xa4",
                           "--metrics-streams=100", "--slow-consumer=drop-oldest"));
    http_conn *c = follow(&h, "s", NULL, NULL);
    publish_numbers(&h, "s", 0, 100);
    expect_numbers(c, 0, 100);
    expect(&h, "GET", "/events", NULL, NULL, 400, NULL);
    http_close(c);
    return h;
}

Test(metrics, promtool_accepts_them)
{
    hub h = busy_hub();
    http_response r = ask(&h, "GET", "/metrics", NULL, NULL);
    metrics *m = metrics_parse(r.body);
    cr_assert_not_null(m, "%s", r.body);
    cr_assert_eq(metrics_count(m, "sse_stream_events_published_total{"), 3);
    metrics_free(m);
    hub_end(&h);
    if (access("/usr/bin/promtool", X_OK) != 0) {
        http_response_fini(&r);
        cr_skip_test("promtool is not installed");
    }
    int code;
    proc *p = proc_run(ARGS("/usr/bin/promtool", "check", "metrics"), r.body, LONG, &code);
    cr_assert_not_null(p);
    cr_assert_eq(code, 0, "promtool: %d %s%s", code, out_of(p), err_of(p));
    cr_assert_str_empty(out_of(p));
    cr_assert_str_empty(err_of(p));
    proc_free(p);
    http_response_fini(&r);
}

/* The check above can fail. */
Test(metrics, promtool_refuses_what_is_wrong)
{
    if (access("/usr/bin/promtool", X_OK) != 0)
        cr_skip_test("promtool is not installed");
    int code;
    proc *p = proc_run(ARGS("/usr/bin/promtool", "check", "metrics"),
                       "# HELP a A.\n# TYPE a counter\na 1\n", LONG, &code);
    cr_assert_not_null(p);
    cr_assert_neq(code, 0);
    proc_free(p);
}
