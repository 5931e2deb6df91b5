/* Command lines for the tools under test. */
#include "tools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ARGS = 40, ARG_BYTES = 300 };

struct command {
    const char *argv[MAX_ARGS + 2];
    char text[MAX_ARGS][ARG_BYTES];
};

static struct command *make_command(scripted *s, const char *name, const char *const args[])
{
    struct command *c = calloc(1, sizeof *c);
    if (!c)
        abort();
    c->argv[0] = proc_bin(name);
    for (size_t i = 0; args[i]; i++) {
        bool url = strncmp(args[i], "URL", 3) == 0 && strchr("/?", args[i][3]);
        if (i >= MAX_ARGS)
            abort();
        snprintf(c->text[i], ARG_BYTES, "%s%s", url ? scripted_url(s, "") : "",
                 url ? args[i] + 3 : args[i]);
        c->argv[i + 1] = c->text[i];
    }
    return c;
}

proc *start_tool(scripted *s, const char *name, const char *const args[])
{
    struct command *c = make_command(s, name, args);
    proc *p = proc_start(c->argv);
    free(c);
    if (!p)
        abort();
    return p;
}

tool_result run_tool(scripted *s, const char *name, const char *const args[], const char *input)
{
    tool_result r = {.code = -1};
    struct command *c = make_command(s, name, args);
    proc *p = proc_run(c->argv, input, TOOL_MS, &r.code);
    free(c);
    if (!p)
        return r;
    snprintf(r.out, sizeof r.out, "%s", proc_stdout(p, NULL));
    snprintf(r.err, sizeof r.err, "%s", proc_stderr(p, NULL));
    proc_free(p);
    return r;
}

size_t count_lines(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}
