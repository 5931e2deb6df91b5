/* Options of sse-server.
 *
 * Reading has two steps. First the command line, then the file that it names, are taken down as
 * settings: a list of what was said where. Then the settings are applied, except those of the file
 * about which the command line says something else. What was said is kept: a reload compares it.
 * One thread. */
#include "tool_config.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- complaints ---- */

static enum tool_exit complain(const config *c, const char *format, ...) SSE_PRINTF(2, 3);

static enum tool_exit complain(const config *c, const char *format, ...)
{
    char line[1536];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (c->running)
        log_error("%s", line);
    else
        tool_say(&c->tool, "%s", line);
    return TOOL_USAGE;
}

/* Where an option was said last; NULL: nowhere. */
static const config_setting *find_setting(const config *c, const char *option)
{
    const config_setting *found = NULL;
    for (size_t i = 0; i < c->nsettings; i++)
        if (strcmp(c->settings[i].option->option.name, option) == 0)
            found = &c->settings[i];
    return found;
}

/* line 0: the command line. */
static enum tool_exit refuse_at(const config *c, const char *option, unsigned line, const char *why)
{
    if (line > 0)
        return complain(c, "%s:%u: '%s': %s", c->file, line, option, why);
    return complain(c, "option '--%s': %s%s", option, why, c->running ? "" : " (see --help)");
}

enum tool_exit config_refuse(const config *c, const char *option, const char *format, ...)
{
    char why[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    const config_setting *said = find_setting(c, option);
    return refuse_at(c, option, said ? said->line : 0, why);
}

/* ---- taking down ---- */

static void take_down(config *c, const config_option *option, const char *value, unsigned line)
{
    c->settings = tool_must(realloc(c->settings, (c->nsettings + 1) * sizeof *c->settings));
    c->settings[c->nsettings++] = (config_setting){
        .option = option, .value = value ? tool_must(strdup(value)) : NULL, .line = line};
}

/* What the command line's parser is given as an option's target. */
struct slot {
    config *config;
    const config_option *option;
};

static bool take_down_argument(void *target, const char *value)
{
    struct slot *slot = target;
    take_down(slot->config, slot->option, value, 0);
    return true;
}

static enum tool_exit read_command_line(config *c, int argc, char **argv)
{
    struct slot slots[CONFIG_OPTIONS_MAX];
    tool_option table[CONFIG_OPTIONS_MAX];
    const char *words[1];
    size_t nwords;
    for (size_t i = 0; i < c->noptions; i++) {
        slots[i] = (struct slot){c, &c->table[i]};
        table[i] = c->table[i].option;
        table[i].set = take_down_argument;
        table[i].target = &slots[i];
    }
    tool reader = c->tool;
    reader.options = table;
    reader.noptions = c->noptions;
    return tool_parse(&reader, argc, argv, words, &nwords);
}

/* ---- the file ---- */

enum { LINE_MAX_BYTES = 16384 };

/* What the reader and the handler that libinih calls know. */
struct file {
    config *config;
    tool_buffer text;
    size_t at;
    unsigned line;
    enum tool_exit result;
};

/* The library tells of a section only with the option below it, if there is one. Length of "[NAME]" at *line; 0: it is something else. */
static size_t section_at(const char **line, bool first)
{
    if (first && strncmp(*line, "\xef\xbb\xbf", 3) == 0)
        *line += 3; /* a byte order mark, which the library skips */
    *line += strspn(*line, " \t");
    const char *end = **line == '[' ? strchr(*line, ']') : NULL;
    return end ? (size_t)(end - *line) + 1 : 0;
}

/* fgets() from memory, as libinih wants it; counts lines for the messages. */
static char *next_line(char *out, int size, void *user)
{
    struct file *f = user;
    size_t left = f->text.len - f->at;
    if (left == 0 || f->result != TOOL_GO_ON)
        return NULL;
    f->line++;
    const char *start = f->text.bytes + f->at;
    const char *end = memchr(start, '\n', left);
    size_t n = end ? (size_t)(end - start) + 1 : left;
    if (memchr(start, '\0', n) || n >= (size_t)size) {
        f->result = complain(f->config, "%s:%u: %s", f->config->file, f->line,
                             n >= (size_t)size ? "the line is too long" : "the line holds a NUL");
        return NULL;
    }
    memcpy(out, start, n);
    out[n] = '\0';
    f->at += n;
    const char *line = out;
    size_t section = section_at(&line, f->line == 1);
    if (section > 0) {
        f->result = complain(f->config, "%s:%u: sections such as %.*s have no meaning here",
                             f->config->file, f->line, (int)section, line);
        return NULL;
    }
    return out;
}

static const config_option *find_in_file(const config *c, const char *name)
{
    for (size_t i = 0; i < c->noptions; i++)
        if (strcmp(c->table[i].option.name, name) == 0)
            return c->table[i].scope == CONFIG_LINE_ONLY ? NULL : &c->table[i];
    return NULL;
}

/* A flag's value in the file; -1: neither. */
static int yes_or_no(const char *value)
{
    static const char *const words[] = {"no", "yes", "off", "on", "false", "true"};
    for (int i = 0; i < 6; i++)
        if (strcasecmp(value, words[i]) == 0)
            return i % 2;
    return -1;
}

static int take_down_line(void *user, const char *section, const char *name, const char *value)
{
    struct file *f = user;
    config *c = f->config;
    const config_option *option = find_in_file(c, name);
    (void)section; /* there is none: next_line() */
    if (!option) {
        f->result = complain(c, "%s:%u: unknown option '%s'", c->file, f->line, name);
    } else if (option->option.value) {
        take_down(c, option, value, f->line);
    } else {
        int on = yes_or_no(value);
        if (on > 0)
            take_down(c, option, NULL, f->line);
        if (on < 0)
            f->result = complain(c, "%s:%u: '%s': '%s' is not valid, it takes yes or no", c->file,
                                 f->line, name, value);
    }
    return f->result == TOOL_GO_ON;
}

static enum tool_exit read_file(config *c, const char *path)
{
    struct file f = {.config = c, .result = TOOL_GO_ON};
    c->file = path;
    if (!tool_buffer_read_file(&f.text, path)) {
        tool_buffer_free(&f.text);
        return config_refuse(c, "config", "%s: %s", path, strerror(errno));
    }
    /* A value may hold anything: a token, a header. */
    ini_allow_inline_comments = false;
    ini_allow_multiline = false;
    ini_use_stack = false;
    ini_max_line = LINE_MAX_BYTES;
    ini_initial_alloc = LINE_MAX_BYTES;
    ini_stop_on_first_error = true;
    int error = ini_parse_stream(next_line, &f, take_down_line, &f);
    if (f.result == TOOL_GO_ON && error != 0)
        f.result = complain(c, "%s:%u: not NAME = VALUE", path, f.line);
    tool_buffer_free(&f.text);
    return f.result;
}

/* ---- applying ---- */

/* Does the command line say something about what this setting of the file sets? */
static bool overruled(const config *c, const config_setting *setting)
{
    if (setting->line == 0)
        return false;
    for (size_t i = 0; i < c->nsettings; i++)
        if (c->settings[i].line == 0 &&
            c->settings[i].option->option.target == setting->option->option.target)
            return true;
    return false;
}

/* Why the value is of no use, into `why`. */
static bool is_refused(const config_setting *setting, char *why, size_t size)
{
    const tool_option *option = &setting->option->option;
    const char *problem =
        setting->option->problem ? setting->option->problem(setting->value) : NULL;
    if (problem)
        snprintf(why, size, "'%.600s': %s", setting->value, problem);
    else if (!option->set(option->target, setting->value))
        snprintf(why, size, "'%.600s' is not valid, it takes %s", setting->value, option->value);
    else
        return false;
    return true;
}

static enum tool_exit apply(const config *c, const config_setting *setting)
{
    char why[1024];
    if (overruled(c, setting) || !is_refused(setting, why, sizeof why))
        return TOOL_GO_ON;
    return refuse_at(c, setting->option->option.name, setting->line, why);
}

static void complete(config *c)
{
    sse_server_options *o = &c->options;
    o->stream = &c->stream;
    o->headers = c->headers.items;
    o->header_count = c->headers.n;
    o->cors_origins = c->cors_origins.items;
    o->cors_origin_count = c->cors_origins.n;
    o->host_names = c->host_names.items;
    o->host_name_count = c->host_names.n;
    o->connect_exempt = c->connect_exempt.items;
    o->connect_exempt_count = c->connect_exempt.n;
    o->http_publish = true;
}

enum tool_exit config_load(config *c, int argc, char **argv, bool running)
{
    *c = (config){.running = running, .stream = SSE_STREAM_OPTIONS_INIT};
    sse_server_options_init(&c->options);
    config_fill_table(c);
    enum tool_exit result = read_command_line(c, argc, argv);
    const config_setting *file = find_setting(c, "config");
    if (result == TOOL_GO_ON && file)
        result = read_file(c, file->value);
    for (size_t i = 0; i < c->nsettings && result == TOOL_GO_ON; i++)
        result = apply(c, &c->settings[i]);
    complete(c);
    return result;
}

void config_free(config *c)
{
    for (size_t i = 0; i < c->nsettings; i++)
        free(c->settings[i].value);
    free(c->settings);
    free(c->listen.items);
    free(c->streams.items);
    free(c->headers.items);
    free(c->cors_origins.items);
    free(c->jwt_keys.items);
    free(c->host_names.items);
    free(c->connect_exempt.items);
}

/* ---- comparing ---- */

/* The next setting of this option that counts, from *i on; NULL: no more. */
static const config_setting *next_setting(const config *c, size_t option, size_t *i)
{
    while (*i < c->nsettings) {
        const config_setting *setting = &c->settings[(*i)++];
        if (setting->option == &c->table[option] && !overruled(c, setting))
            return setting;
    }
    return NULL;
}

static bool same(const config *a, const config *b, size_t option)
{
    size_t i = 0, j = 0;
    for (;;) {
        const config_setting *one = next_setting(a, option, &i);
        const config_setting *other = next_setting(b, option, &j);
        if (!one || !other)
            return one == other;
        if (one->value && strcmp(one->value, other->value) != 0)
            return false;
    }
}

void config_tell_what_waits(const config *started, const config *now)
{
    for (size_t i = 0; i < now->noptions; i++)
        if (now->table[i].scope != CONFIG_LIVE && !same(started, now, i))
            log_warn("'%s' has changed; it takes effect when the server is started again",
                     now->table[i].option.name);
}
