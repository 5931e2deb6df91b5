/* What sse-server is told to do: the command line, and the file that it names. */
#ifndef SSE_TOOL_CONFIG_H
#define SSE_TOOL_CONFIG_H

#include "tool.h"
#include "tool_log.h"

#include <sse/server.h>

/* When what is said of an option takes effect. */
typedef enum config_scope {
    CONFIG_AT_START = 0, /* when the program starts */
    CONFIG_LIVE,         /* with a reload, too */
    CONFIG_LINE_ONLY     /* on the command line; the file has no such option */
} config_scope;

/* All that is to be known of an option. */
typedef struct config_option {
    tool_option option;
    /* Why a value is of no use, as what follows "'VALUE': "; NULL: it may be good, and set() has the last word. Asked before set(),
     * wherever the value comes from. No function: set() alone knows, and the message is what the option takes. */
    const char *(*problem)(const char *value);
    config_scope scope;
} config_option;

/* One thing that was said. */
typedef struct config_setting {
    const config_option *option;
    char *value;   /* ours; NULL: a flag */
    unsigned line; /* of the file; 0: the command line */
} config_setting;

enum { CONFIG_OPTIONS_MAX = 96 };

typedef struct config {
    sse_server_options options; /* points to what is below */
    sse_stream_options stream;
    tool_list listen, streams, headers, cors_origins;
    const char *publish_token_file, *subscribe_token_file;
    tool_list jwt_keys, host_names, connect_exempt;
    const char *jwt_algorithm; /* or NULL */
    bool anonymous_subscribe;
    const char *file;
    log_format log_format;
    bool anonymous_publish;
    bool no_page;
    bool check_only;

    tool tool;
    config_option table[CONFIG_OPTIONS_MAX];
    size_t noptions;
    config_setting *settings;
    size_t nsettings;
    bool running; /* the server runs: complaints go to the log */
} config;

/* Read the command line, and the file; what the command line says counts. `running`: the server
 * runs already. config_free() is due in any case.
 * Returns: TOOL_GO_ON; TOOL_DONE after --help and --version; TOOL_USAGE after it has said on stderr
 * what is wrong and where. */
enum tool_exit config_load(config *c, int argc, char **argv, bool running);
void config_free(config *c);

/* Say that an option's value is of no use, and where it was said: "FILE:LINE: 'NAME': …" or
 * "option '--NAME': …". Returns TOOL_USAGE. */
enum tool_exit config_refuse(const config *c, const char *option, const char *format, ...)
    SSE_PRINTF(3, 4);

/* Warn of each option that `now` says otherwise than `started` did and that takes effect only when
 * the program starts. */
void config_tell_what_waits(const config *started, const config *now);

/* ---- tool_options.c ---- */

/* All options, with c's fields as their targets. */
void config_fill_table(config *c);

#endif
