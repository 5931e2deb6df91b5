/* nginx with nchan, where Debian's packages nginx and libnginx-mod-nchan are installed: one worker,
 * a configuration of its own in a temporary directory, no access log. */
#include "servers.h"

#include "procstat.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char nginx[] = "/usr/sbin/nginx";
static const char module[] = "/usr/lib/nginx/modules/ngx_nchan_module.so";

static const char configuration[] = "load_module %s;\n"
                                    "daemon off;\n"
                                    "%s" /* user, when started as root */
                                    "pid %s/nginx.pid;\n"
                                    "error_log %s/error.log warn;\n"
                                    "worker_processes 1;\n"
                                    "worker_rlimit_nofile %u;\n"
                                    "events { worker_connections %u; multi_accept on; }\n"
                                    "http {\n"
                                    "  access_log off;\n"
                                    "  keepalive_requests 1000000000;\n"
                                    "  tcp_nodelay on;\n"
                                    "  client_body_temp_path %s/body;\n"
                                    "  proxy_temp_path %s/proxy;\n"
                                    "  fastcgi_temp_path %s/fastcgi;\n"
                                    "  uwsgi_temp_path %s/uwsgi;\n"
                                    "  scgi_temp_path %s/scgi;\n"
                                    "  client_body_buffer_size 64k;\n"
                                    "  client_max_body_size 16m;\n"
                                    "  nchan_shared_memory_size 512m;\n"
                                    "  server {\n"
                                    "    listen 127.0.0.1:%u backlog=4096;\n"
                                    "    location ~ ^/sub/(\\d+)$ {\n"
                                    "      nchan_subscriber eventsource;\n"
                                    "      nchan_channel_id $1;\n"
                                    "      nchan_eventsource_ping_interval 0;\n"
                                    "      nchan_subscriber_first_message %s;\n"
                                    "    }\n"
                                    "    location = " SERVER_STATUS " { nchan_stub_status; }\n"
                                    "    location ~ ^/pub/(\\d+)$ {\n"
                                    "      nchan_publisher http;\n"
                                    "      nchan_channel_id $1;\n"
                                    "      nchan_message_buffer_length 10000;\n"
                                    "      nchan_message_timeout 60s;\n"
                                    "    }\n"
                                    "  }\n"
                                    "}\n";

bool nchan_available(const char **why)
{
    *why = "nginx or its module nchan is not installed (Debian: nginx, libnginx-mod-nchan)";
    return access(nginx, X_OK) == 0 && access(module, R_OK) == 0;
}

static bool write_configuration(const server *s, const server_needs *needs, uint16_t port)
{
    char path[128];
    const char *d = s->directory;
    snprintf(path, sizeof path, "%s/nginx.conf", d);
    FILE *f = fopen(path, "w");
    if (!f)
        return false;
    /* nginx closes idle connections once fewer than a sixteenth of its slots are free, and one whose
     * request has not been read yet counts as idle. */
    uint32_t slots = needs->connections * 2 + 1024;
    uint64_t descriptors = raise_fd_limit(slots);
    fprintf(f, configuration, module, geteuid() == 0 ? "user root;\n" : "", d, d,
            (unsigned)descriptors, slots, d, d, d, d, d, port, needs->replay ? "oldest" : "newest");
    return fclose(f) == 0;
}

static void exec_nginx(const server *s)
{
    char path[128], log[128];
    snprintf(path, sizeof path, "%s/nginx.conf", s->directory);
    snprintf(log, sizeof log, "%s/error.log", s->directory);
    int null = open("/dev/null", O_RDWR);
    if (null >= 0) {
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
    }
    execl(nginx, nginx, "-p", s->directory, "-e", log, "-c", path, (char *)NULL);
    _exit(127);
}

static bool answers(const http_url *url)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, (const struct sockaddr *)&url->address, url->address_len) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static void last_log_line(const server *s, char why[200])
{
    char path[128], line[512];
    snprintf(path, sizeof path, "%s/error.log", s->directory);
    snprintf(why, 200, "nginx did not start");
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        snprintf(why, 200, "nginx: %.*s", (int)strcspn(line, "\n"), line);
    if (f)
        fclose(f);
}

bool nchan_start(server *s, const server_needs *needs, char why[200])
{
    uint16_t port;
    int probe = server_listen(&port); /* a port that is free just now */
    if (probe < 0)
        return false;
    close(probe);
    snprintf(s->directory, sizeof s->directory, "/tmp/sse-bench-nginx-XXXXXX");
    if (!mkdtemp(s->directory) || !write_configuration(s, needs, port)) {
        snprintf(why, 200, "its configuration: %s", strerror(errno));
        return false;
    }
    s->pid = server_fork(needs);
    if (s->pid == 0)
        exec_nginx(s);
    s->format = PUBLISH_PLAIN;
    s->pipeline = 16;
    server_urls(s, port, "/sub/{}", "/pub/{}");
    for (int i = 0; i < 500 && s->pid > 0; i++) {
        /* Its worker is there once the master has a child; only then is its CPU counted. */
        proc_group group;
        if (answers(&s->subscribe) && proc_group_find(&group, s->pid) && group.n > 1) {
            nchan_clean(s); /* it has read and opened all; whatever happens to us, nothing stays */
            return true;
        }
        wait_until_ns(now_ns() + 10000000u);
    }
    last_log_line(s, why);
    return false;
}

static void remove_in(const char *directory, const char *name)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    (void)remove(path);
}

void nchan_clean(const server *s)
{
    static const char *const names[] = {"nginx.conf", "nginx.pid", "error.log", "body",
                                        "proxy",      "fastcgi",   "uwsgi",     "scgi"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        remove_in(s->directory, names[i]);
    (void)rmdir(s->directory);
}
