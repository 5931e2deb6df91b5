/* sse-bench: a load tester for servers of Server-Sent Events. This file: the command line, and the
 * results' way out. One thread; commands start others. */
#include "bench.h"
#include "interrupt.h"
#include "output.h"
#include "stamp.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- setters ---- */

static bool set_count(void *target, const char *value)
{
    return tool_set_u32(target, value) && *(uint32_t *)target > 0;
}

static bool set_positive(void *target, const char *value)
{
    char *end;
    double number = strtod(value, &end);
    if (!*value || *end || !(number > 0) || number > 1e9)
        return false;
    *(double *)target = number;
    return true;
}

static bool set_warmup(void *target, const char *value)
{
    bench_options *o = target;
    o->warmup_given = true;
    o->warmup_ms = 0;
    bool none = strspn(value, "0.") == strlen(value) && strchr(value, '0');
    return none || tool_set_seconds(&o->warmup_ms, value);
}

/* Events a second; "max". */
static bool set_rate(void *target, const char *value)
{
    bench_options *o = target;
    o->rate_given = true;
    o->rate = 0;
    return strcmp(value, "max") == 0 || set_positive(&o->rate, value);
}

static bool set_format(void *target, const char *value)
{
    static const char *const words[] = {"auto", "plain", "batch"};
    for (int i = 0; i < 3; i++)
        if (strcmp(words[i], value) == 0) {
            *(publish_format *)target = (publish_format)i;
            return true;
        }
    return false;
}

static bool set_servers(void *target, const char *value)
{
    char *list = tool_must(strdup(value)), *save = NULL;
    for (char *word = strtok_r(list, ",", &save); word; word = strtok_r(NULL, ",", &save))
        tool_set_list(target, tool_must(strdup(word)));
    free(list);
    return *value != '\0';
}

/* ---- options, by command ---- */

#define MAX_OPTIONS 60

enum {
    FOR_LOAD = 1,
    FOR_FANOUT = 2,
    FOR_PARSE = 4,
    FOR_STORM = 8,
    FOR_INSIDE = 16,
    FOR_NET = FOR_LOAD | FOR_FANOUT | FOR_STORM,
    FOR_ALL = 31
};

typedef struct command {
    const char *name;
    const char *tool_name, *usage, *about;
    int (*run)(bench *b);
    unsigned bit;
    unsigned words; /* how many it needs */
} command;

static const char exit_codes[] =
    "Exit: 0 fine, 1 events lost, doubled, in the wrong order or at the wrong subscriber, or a\n"
    "connection ended, 64 wrong options, 69 could not connect, start or go on, 130 SIGINT and 143\n"
    "SIGTERM: what was measured until then is printed.\n";

static const command commands[] = {
    {"load", "sse-bench load", "sse-bench load URL [OPTIONS]",
     "Puts subscribers on URL, any SSE server, over http or https. With --publish-url it\n"
     "publishes too, and then checks each event. {} in a URL stands for the number of a stream;\n"
     "without it, and with --streams, stream=bench-N is added to the query.\n",
     bench_load, FOR_LOAD, 1},
    {"fanout", "sse-bench fanout", "sse-bench fanout [OPTIONS]",
     "Starts servers of its own and measures them in turn: raw (an epoll server that only sends),\n"
     "sse-server, and nchan where it is installed. Scenarios: 1x1000@50 1x1000@1000 1x1000@max\n"
     "1x10000@5 1000x10@2 1000idle 10000idle 19500idle 1x1@max 1x1-10k@max 1x1@100 memory connect\n"
     "replay gone 100000x1@1.\n",
     bench_fanout, FOR_FANOUT, 0},
    {"parse", "sse-bench parse", "sse-bench parse FILE [OPTIONS]",
     "Measures the library's parser on a recorded stream, in pieces of several sizes.\n",
     bench_parse, FOR_PARSE, 1},
    {"storm", "sse-bench storm", "sse-bench storm URL [OPTIONS]",
     "Lets all subscribers leave and come back at once, several times.\n", bench_storm, FOR_STORM,
     1},
    {"inside", "sse-bench inside", "sse-bench inside [OPTIONS]",
     "Measures the libraries in this process, without a server of its own in between. Scenarios:\n"
     "publish publish-100 streams chan client.\n",
     bench_inside, FOR_INSIDE, 0},
};

typedef struct entry {
    tool_option option;
    unsigned bits;
} entry;

static size_t options_of(const command *c, bench_options *o, tool_option *out)
{
    const entry entries[] = {
        {{"subscribers", "N", "how many (100)", set_count, &o->subscribers}, FOR_LOAD | FOR_STORM},
        {{"subscribers", "N", "how many (the scenario's)", set_count, &o->subscribers},
         FOR_FANOUT | FOR_INSIDE},
        {{"streams", "N", "on how many streams (1)", set_count, &o->streams}, FOR_LOAD | FOR_STORM},
        {{"streams", "N", "on how many streams (the scenario's)", set_count, &o->streams},
         FOR_FANOUT | FOR_INSIDE},
        {{"publishers", "N", "threads that publish (8)", set_count, &o->publishers}, FOR_INSIDE},
        {{"rate", "R", "events a second published to each stream, or max (1)", set_rate, o},
         FOR_LOAD},
        {{"rate", "R", "events a second published to each stream, or max (the scenario's)",
          set_rate, o},
         FOR_FANOUT},
        {{"payload", "BYTES", "of an event's data, 49 at least (100)", set_count, &o->payload},
         FOR_LOAD},
        {{"payload", "BYTES", "of an event's data, 49 at least (the scenario's)", set_count,
          &o->payload},
         FOR_FANOUT},
        {{"payload", "BYTES", "of an event's data (100)", set_count, &o->payload}, FOR_INSIDE},
        {{"duration", "S", "seconds that are measured (10)", tool_set_seconds, &o->duration_ms},
         FOR_LOAD | FOR_FANOUT},
        {{"duration", "S", "seconds that each piece is measured (0.5)", tool_set_seconds,
          &o->duration_ms},
         FOR_PARSE},
        {{"duration", "S", "seconds that are measured (2)", tool_set_seconds, &o->duration_ms},
         FOR_INSIDE},
        {{"warmup", "S", "seconds before, 0: none (2)", set_warmup, o}, FOR_LOAD | FOR_FANOUT},
        {{"timeout", "S", "for all to be served (120)", tool_set_seconds, &o->timeout_ms},
         FOR_LOAD},
        {{"timeout", "S", "for all to be served, in each wave (60)", tool_set_seconds,
          &o->timeout_ms},
         FOR_STORM},
        {{"threads", "N", "of the load client (1)", set_count, &o->threads}, FOR_NET},
        {{"in-flight", "N", "connects under way at once (128)", set_count, &o->in_flight}, FOR_NET},
        {{"unix-socket", "PATH", "connect to this socket", tool_set_string, &o->unix_socket},
         FOR_LOAD | FOR_STORM},
        {{"publish-url", "URL", "publish there, by POST", tool_set_string, &o->publish_url},
         FOR_LOAD},
        {{"publish-format", "auto|plain|batch",
          "one event a request, or what is due as text/event-stream (auto: when several are)",
          set_format, &o->format},
         FOR_LOAD},
        {{"publish-batch", "N", "events in a request at most (256, and 256 KB)", set_count,
          &o->batch},
         FOR_LOAD | FOR_FANOUT},
        {{"publish-pipeline", "N", "plain requests under way at once (1)", set_count, &o->pipeline},
         FOR_LOAD},
        {{"header", "'Name: value'", "send this header too; repeatable", tool_set_header,
          &o->headers},
         FOR_LOAD | FOR_STORM},
        {{"publish-header", "'Name: value'",
          "send this header with publications, none of --header's; repeatable", tool_set_header,
          &o->publish_headers},
         FOR_LOAD},
        {{"cacert", "FILE", "https: trust the CA certificates in FILE (PEM), not the system's",
          tool_set_string, &o->cacert},
         FOR_LOAD | FOR_STORM},
        {{"insecure", NULL, "https: do not verify the server's certificate", tool_set_flag,
          &o->insecure},
         FOR_LOAD | FOR_STORM},
        {{"server-pid", "PID", "the server's process, for its CPU and memory", set_count,
          &o->server_pid},
         FOR_LOAD | FOR_STORM},
        {{"pin", NULL, "run on core 1 only, beside a server on core 0", tool_set_flag, &o->pin},
         FOR_LOAD | FOR_STORM},
        {{"waves", "N", "how often they come back (5)", set_count, &o->waves}, FOR_STORM},
        {{"scenario", "NAME", "only this one; repeatable", tool_set_list, &o->scenarios},
         FOR_FANOUT | FOR_INSIDE},
        {{"servers", "LIST", "only these of raw,sse-server,nchan", set_servers, &o->servers},
         FOR_FANOUT},
        {{"scale", "F", "times the subscribers of each scenario (1)", set_positive, &o->scale},
         FOR_FANOUT},
        {{"server", "PATH", "of sse-server (beside sse-bench)", tool_set_string, &o->server},
         FOR_FANOUT},
        {{"server-arg", "ARG", "a further argument for sse-server; repeatable", tool_set_list,
          &o->server_args},
         FOR_FANOUT},
        {{"no-pin", NULL, "do not bind the server to core 0 and this program to core 1",
          tool_set_flag, &o->no_pin},
         FOR_FANOUT},
        {{"json", "FILE", "write the numbers there (-: stdout, tables go to stderr)",
          tool_set_string, &o->json},
         FOR_ALL},
        {{"report", "FILE", "write a page with curves and bars there (-: stdout)", tool_set_string,
          &o->report},
         FOR_ALL},
    };
    size_t n = 0;
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++)
        if (entries[i].bits & c->bit)
            out[n++] = entries[i].option;
    return n;
}

int bench_payload(const bench *b, uint32_t otherwise, uint32_t *payload)
{
    *payload = b->options->payload ? b->options->payload : otherwise;
    if (*payload >= STAMP_BYTES)
        return TOOL_GO_ON;
    return tool_misuse(b->tool, "option '--payload': it takes %d bytes at least", STAMP_BYTES);
}

static int make_trust(bench *b, const char *url)
{
    const bench_options *o = b->options;
    char why[TLS_WHY];
    if (!tls_available())
        return tool_misuse(
            b->tool, "%s: https is not in this build (SSE_BENCH_TLS, with GnuTLS, adds it)", url);
    b->trust = tls_trust_new(o->cacert, o->insecure, why);
    if (b->trust)
        return TOOL_GO_ON;
    if (o->cacert)
        return tool_misuse(b->tool, "option '--cacert': %s: %s", o->cacert, why);
    tool_say(b->tool, "%s: %s; name some with --cacert", url, why);
    return TOOL_UNAVAILABLE;
}

int bench_url(bench *b, const char *text, http_url *url)
{
    const char *wrong = http_url_parse(url, text);
    if (b->options->unix_socket && (!wrong || url->unresolved))
        wrong = http_url_unix(url, b->options->unix_socket);
    if (wrong && url->unresolved) {
        tool_say(b->tool, "%s: its host is not found: %s", text, wrong);
        return TOOL_UNAVAILABLE;
    }
    if (wrong)
        return tool_misuse(b->tool, "%s: %s", text, wrong);
    return url->tls && !b->trust ? make_trust(b, text) : TOOL_GO_ON;
}

/* ---- a command ---- */

/* Without the query, in which a token may stand: pages are passed on. */
static void set_title(results *all, const char *name, const char *word)
{
    size_t n = word ? strcspn(word, "?") : 0;
    snprintf(all->title, sizeof all->title, "%s%s%.*s", name, word ? " " : "", n < 80 ? (int)n : 80,
             word ? word : "");
}

static int run_command(const command *c, bench *b)
{
    int code = output_check(b);
    if (code != TOOL_GO_ON)
        return code;
    interrupt_catch();
    code = c->run(b);
    if (code == TOOL_USAGE)
        return code;
    if (code == TOOL_DONE && results_bad(&b->all))
        code = BENCH_FAILED;
    if (interrupt_signal()) {
        tool_say(b->tool, "interrupted");
        code = code == BENCH_FAILED ? code : 128 + interrupt_signal();
    }
    return output_write(b, code);
}

static int parse_and_run(const command *c, int argc, char **argv)
{
    bench_options o = {.format = PUBLISH_AUTO};
    tool_option options[MAX_OPTIONS];
    char about[1024];
    snprintf(about, sizeof about, "%s%s", c->about, exit_codes);
    tool t = {.name = c->tool_name,
              .usage = c->usage,
              .about = about,
              .options = options,
              .noptions = options_of(c, &o, options),
              .max_words = c->words};
    const char *words[2] = {NULL};
    size_t nwords;
    int code = tool_parse(&t, argc, argv, words, &nwords);
    if (code == TOOL_GO_ON && nwords < c->words)
        code = tool_misuse(&t, c->bit == FOR_PARSE ? "name a file" : "name a URL");
    if (code == TOOL_GO_ON) {
        bench b = {.tool = &t, .options = &o, .word = words[0]};
        set_title(&b.all, c->tool_name, words[0]);
        code = run_command(c, &b);
        results_free(&b.all);
        tls_trust_free(b.trust);
    }
    for (size_t i = 0; i < o.servers.n; i++)
        free((void *)(uintptr_t)o.servers.items[i]);
    free(o.servers.items);
    free(o.scenarios.items);
    free(o.server_args.items);
    free(o.headers.items);
    free(o.publish_headers.items);
    return code;
}

static int overview(int argc, char **argv)
{
    static const char about[] =
        "commands:\n"
        "  load URL                   put subscribers on any SSE server, and publish to it\n"
        "  fanout                     measure sse-server beside a raw epoll server and nchan\n"
        "  parse FILE                 measure the parser\n"
        "  storm URL                  reconnect in waves\n"
        "  inside                     measure the libraries in this process\n\n"
        "sse-bench COMMAND --help lists a command's options.\n";
    const tool t = {.name = "sse-bench",
                    .usage =
                        "sse-bench load URL | fanout | parse FILE | storm URL | inside [OPTIONS]",
                    .about = about};
    const char *words[2];
    size_t nwords;
    if (argc > 1 && argv[1][0] != '-') /* what follows would have been its options */
        return tool_misuse(&t, "there is no command '%s'", argv[1]);
    int code = tool_parse(&t, argc, argv, words, &nwords);
    if (code != TOOL_GO_ON)
        return code;
    return tool_misuse(&t, "name a command: load, fanout, parse, storm or inside");
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return parse_and_run(&commands[i], argc - 1, argv + 1);
    return overview(argc, argv);
}
