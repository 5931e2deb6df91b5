/* The servers that `fanout` measures: started as children, pinned to a core, ended again. One
 * thread. */
#ifndef BENCH_SERVERS_H
#define BENCH_SERVERS_H

#include "publisher.h"
#include "tool.h"

#include <sys/types.h>

typedef enum server_kind { SERVER_RAW = 0, SERVER_SSE, SERVER_NCHAN, SERVER_KINDS } server_kind;

extern const char *const server_names[SERVER_KINDS];

/* What a scenario asks of its server. */
typedef struct server_needs {
    const char *sse_server; /* path of the binary, NULL: beside sse-bench */
    const tool_list *extra; /* further arguments for sse-server */
    uint32_t connections;   /* that it must take */
    uint32_t coalesce;      /* of raw: events in one send() */
    uint32_t replay;        /* events that a new subscriber is to get from the past */
    bool flat_out;          /* publishers are to be held back, nothing is to be lost */
    bool pin;               /* to core 0 */
    bool big;               /* large events */
    bool reserved[1];
} server_needs;

typedef struct server {
    http_url subscribe, publish;
    http_url status; /* where it tells how many subscribers it has */
    publish_format format;
    uint32_t pipeline;
    server_kind kind;
    pid_t pid;
    bool named;         /* streams are named in the query */
    char directory[64]; /* of temporary files, "" for none */
} server;

/* True when it can be started here; otherwise *why says what is missing (static). */
bool server_available(server_kind kind, const server_needs *needs, const char **why);

/* Start and wait until it listens. Returns false with a message in why[]. */
bool server_start(server *s, server_kind kind, const server_needs *needs, char why[200]);

/* End it and collect it. Returns false when it had ended by itself. */
bool server_stop(server *s);

/* ---- inside ---- */

/* Fork a child that is pinned if wanted and ends with its parent; as fork(). */
pid_t server_fork(const server_needs *needs);
/* A port of 127.0.0.1: a listening socket (backlog 4096), or -1. */
int server_listen(uint16_t *port);
void server_urls(server *s, uint16_t port, const char *subscribe, const char *publish);
/* The path of each server's status. */
#define SERVER_STATUS "/metrics"

bool nchan_available(const char **why);
bool nchan_start(server *s, const server_needs *needs, char why[200]);
/* Remove its files. */
void nchan_clean(const server *s);

#endif
