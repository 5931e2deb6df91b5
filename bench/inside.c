/* `inside`: the scenarios' list, and what this process uses meanwhile. One thread. */
#include "inside.h"

#include "interrupt.h"
#include "output.h"

#include "procstat.h"

#include <string.h>
#include <sys/resource.h>

typedef struct inside_scenario {
    const char *name, *what;
    int (*run)(bench *b, scenario_result *s);
} inside_scenario;

/* Libraries that were not built have none. */
static const inside_scenario scenarios[] = {
#ifdef BENCH_HAS_SERVER
    {"publish", "sse_server_publish() by several threads to one stream that nobody reads",
     inside_publish},
    {"publish-100", "the same with subscribers over sockets, read by this program too",
     inside_publish_to},
    {"streams", "streams, most of them idle", inside_streams},
#endif
    {"chan", "from one thread to another through a channel", inside_chan},
#ifdef BENCH_HAS_CLIENT
    {"client", "the client's whole path: from a socket, full at all times, to the program",
     inside_client},
#endif
};
#define NSCENARIOS (sizeof scenarios / sizeof scenarios[0])

uint64_t inside_ns(const bench *b)
{
    return b->options->duration_ms ? b->options->duration_ms * UINT64_C(1000000)
                                   : UINT64_C(2000000000);
}

int inside_failed(const bench *b, result *r, const char *what, sse_err err)
{
    snprintf(r->failure, sizeof r->failure, "%s: %s", what, sse_strerror(err));
    tool_say(b->tool, "%s", r->failure);
    return TOOL_UNAVAILABLE;
}

/* ---- what is used ---- */

static uint64_t io_calls(void)
{
    char line[128];
    unsigned long long sum = 0, n;
    FILE *f = fopen("/proc/self/io", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "syscr: %llu", &n) == 1 || sscanf(line, "syscw: %llu", &n) == 1)
            sum += n;
    if (f)
        fclose(f);
    return sum;
}

inside_use inside_use_now(void)
{
    struct rusage usage;
    inside_use now = {.io_calls = io_calls(), .cpu_ns = own_cpu_ns()};
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        now.switches = (uint64_t)usage.ru_nvcsw;
    now.at_ns = now_ns();
    return now;
}

void inside_take(result *r, const inside_use *before, uint64_t events)
{
    uint64_t at_ns = now_ns();
    inside_use now = inside_use_now();
    double n = events > 0 ? (double)events : 1;
    r->seconds = (double)(at_ns - before->at_ns) / 1e9;
    r->events_per_s = (double)events / r->seconds;
    r->us_per_event = (double)(now.cpu_ns - before->cpu_ns) / 1e3 / n;
    r->switches_per_event = (double)(now.switches - before->switches) / n;
    if (now.io_calls > 0) /* else the kernel does not count them */
        r->io_calls_per_event = (double)(now.io_calls - before->io_calls) / n;
}

/* ---- the command ---- */

static bool wanted(const bench *b, const char *name)
{
    const tool_list *list = &b->options->scenarios;
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->items[i], name) == 0)
            return true;
    return list->n == 0;
}

static int check_names(const bench *b)
{
    const tool_list *list = &b->options->scenarios;
    for (size_t i = 0; i < list->n; i++) {
        size_t k = 0;
        while (k < NSCENARIOS && strcmp(list->items[i], scenarios[k].name) != 0)
            k++;
        if (k == NSCENARIOS)
            return tool_misuse(b->tool, "there is no scenario '%s'", list->items[i]);
    }
    return TOOL_GO_ON;
}

int bench_inside(bench *b)
{
    int code = check_names(b);
    for (size_t i = 0; i < NSCENARIOS && code == TOOL_GO_ON && !interrupt_signal(); i++) {
        if (!wanted(b, scenarios[i].name))
            continue;
        scenario_result *s = results_scenario(&b->all, scenarios[i].name, scenarios[i].what);
        code = scenarios[i].run(b, s);
        output_scenario(b, s);
    }
    return code == TOOL_GO_ON ? TOOL_DONE : code;
}
