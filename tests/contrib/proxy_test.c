/* sse-server behind nginx and Caddy, with the configurations of contrib/: HTTP/2 over TLS to the
 * proxy, events as they come, and nobody left behind when a client goes.
 *
 * A configuration is used as it stands, but for addresses, ports and files; each replacement must
 * find its text, so that a test of something else is noticed. */
#include "e2e.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files ---- */

static char *read_all(const char *path)
{
    char *bytes = calloc(1, 65536);
    FILE *file = fopen(path, "re");
    cr_assert(bytes && file, "%s", path);
    size_t n = fread(bytes, 1, 65535, file);
    fclose(file);
    cr_assert(n < 65535);
    return bytes;
}

static void write_all(const char *path, const char *content)
{
    FILE *file = fopen(path, "we");
    cr_assert_not_null(file);
    cr_assert(fputs(content, file) >= 0 && fclose(file) == 0);
}

/* Every `from` becomes `to`; there must be one. Frees s. */
static char *replace(char *s, const char *from, const char *to)
{
    char *out = calloc(1, 131072), *at = s, *found;
    cr_assert_not_null(strstr(s, from), "contrib's configuration has no '%s'", from);
    while ((found = strstr(at, from))) {
        strncat(out, at, (size_t)(found - at));
        strcat(out, to);
        at = found + strlen(from);
    }
    strcat(out, at);
    free(s);
    return out;
}

static const char *in_dir(const char *name) { return text("%s/%s", temp_dir(), name); }

static char *contrib(const char *name)
{
    const char *source = getenv("SSE_SOURCE");
    cr_assert_not_null(source);
    return read_all(text("%s/contrib/%s", source, name));
}

static void make_certificate(void)
{
    int code;
    proc *p = proc_run(ARGS("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj",
                            "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout",
                            in_dir("key"), "-out", in_dir("cert")),
                       NULL, LONG, &code);
    cr_assert(p && code == 0);
    proc_free(p);
}

/* ---- the proxies ---- */

typedef struct proxy {
    const char *const *argv;
    proc *process;
    uint16_t port;
    char url[64];
} proxy;

static bool answers(void *arg)
{
    proxy *x = arg;
    http_conn *c = http_connect(x->port);
    http_close(c);
    return c != NULL;
}

static void proxy_start(proxy *x)
{
    x->process = proc_start(x->argv);
    cr_assert_not_null(x->process, "%s is not there; scripts/deps --test installs it", x->argv[0]);
    cr_assert(wait_until(answers, x, LONG));
    snprintf(x->url, sizeof x->url, "https://localhost:%u", x->port);
}

/* Their own ways to end vary; the test does not care. */
static void proxy_stop(proxy *x)
{
    proc_signal(x->process, SIGTERM);
    cr_assert_geq(proc_wait(x->process, LONG), 0, "%s", err_of(x->process));
    proc_free(x->process);
}

/* nginx as a whole: what Debian's nginx.conf has around conf.d/. */
static const char nginx_frame[] =
    "daemon off; pid %s/pid; error_log stderr; worker_processes 1; %s\n"
    "events { worker_connections 512; }\n"
    "http {\n"
    "  client_body_temp_path %s; proxy_temp_path %s; fastcgi_temp_path %s;\n"
    "  uwsgi_temp_path %s; scgi_temp_path %s; access_log off;\n"
    "%s}\n";

static proxy nginx_for(const hub *h)
{
    static const char *argv[] = {"nginx", "-p", NULL, "-c", NULL, NULL};
    proxy x = {.argv = argv, .port = unused_port()};
    char *site = contrib("nginx.conf");
    site = replace(site, "127.0.0.1:8080", text("127.0.0.1:%u", h->port));
    site = replace(site, "listen 443 ", text("listen 127.0.0.1:%u ", x.port));
    site = replace(site, "listen [::]:443 ssl http2;", "");
    site = replace(site, "/etc/ssl/certs/hub.example.org.pem", in_dir("cert"));
    site = replace(site, "/etc/ssl/private/hub.example.org.key", in_dir("key"));
    const char *d = temp_dir();
    char *whole = malloc(131072);
    snprintf(whole, 131072, nginx_frame, d, geteuid() == 0 ? "user root;" : "", d, d, d, d, d,
             site);
    argv[2] = d;
    argv[4] = in_dir("nginx.conf");
    write_all(argv[4], whole);
    free(whole);
    free(site);
    proxy_start(&x);
    return x;
}

static proxy caddy_for(const hub *h)
{
    static const char *argv[] = {"caddy", "run", "--adapter", "caddyfile", "--config", NULL, NULL};
    proxy x = {.argv = argv, .port = unused_port()};
    char *site = contrib("Caddyfile");
    /* Caddy gets no certificate from outside in a test, nor does it listen where others may. */
    site = replace(site, "grace_period 5s",
                   "grace_period 100ms\n\tadmin off\n\tauto_https off\n\tdefault_bind 127.0.0.1");
    site =
        replace(site, "hub.example.org {",
                text("https://localhost:%u {\n\ttls %s %s", x.port, in_dir("cert"), in_dir("key")));
    site = replace(site, "127.0.0.1:8080", text("127.0.0.1:%u", h->port));
    argv[5] = in_dir("Caddyfile");
    write_all(argv[5], site);
    free(site);
    setenv("HOME", temp_dir(), 1);
    setenv("XDG_DATA_HOME", temp_dir(), 1);
    setenv("XDG_CONFIG_HOME", temp_dir(), 1);
    proxy_start(&x);
    return x;
}

/* ---- through the proxy ---- */

/* curl as a subscriber over HTTP/2. */
static proc *curl_follow(const proxy *x)
{
    proc *p = proc_start(ARGS("curl", "-sSN", "--http2", "--cacert", in_dir("cert"), "-D", "-",
                              text("%s/events?stream=s", x->url)));
    cr_assert_not_null(p);
    expect_line(p, "HTTP/2 200 \r");
    return p;
}

/* Lines come and go; this one must come while the connection is open. */
static void wait_line(proc *p, const char *wanted)
{
    const char *line;
    while ((line = proc_read_line(p, LONG)) && strcmp(line, wanted) != 0)
        ;
    cr_assert_not_null(line, "no line '%s': %s%s", wanted, out_of(p), err_of(p));
}

/* This hub sends no heartbeats that would find out who has left. */
static void events_and_leaving(const hub *h, const proxy *x)
{
    proc *p = curl_follow(x);
    wait_number(h, "s", "subscribers", 1);
    publish(h, "s", NULL, "first");
    wait_line(p, "data: first");
    publish(h, "s", NULL, "second"); /* the first did not wait for it */
    wait_line(p, "data: second");
    proc_signal(p, SIGKILL); /* nothing is published: the proxy has to tell the hub */
    (void)proc_wait(p, LONG);
    proc_free(p);
    wait_number(h, "s", "subscribers", 0);
}

static void heartbeats(proxy (*start)(const hub *h))
{
    hub h = hub_start(ARGS("--stream=s", "--heartbeat=0.2"));
    proxy x = start(&h);
    proc *p = curl_follow(&x);
    wait_line(p, ":");
    wait_line(p, ":");
    proc_signal(p, SIGKILL);
    (void)proc_wait(p, LONG);
    proc_free(p);
    proxy_stop(&x);
    hub_end(&h);
}

static int curl(const proxy *x, const char *const args[], char *out, size_t size)
{
    const char *argv[32] = {"curl",      "-sS",          "--http2",
                            "--cacert",  in_dir("cert"), "-o",
                            "/dev/null", "-w",           "%{http_code} %{http_version}"};
    size_t n = 9;
    int code;
    for (; *args; args++)
        argv[n++] = *args;
    argv[n] = text("%s/events?stream=s", x->url);
    proc *p = proc_run(argv, NULL, LONG, &code);
    cr_assert_not_null(p);
    snprintf(out, size, "%s", out_of(p));
    cr_assert_eq(code, 0, "%s", err_of(p));
    proc_free(p);
    return atoi(out);
}

static void publishing(const hub *h, const proxy *x)
{
    char said[64];
    (void)curl(x, ARGS("-d", "through"), said, sizeof said);
    cr_assert_str_eq(said, "200 2");
    char *large = malloc(1000001);
    memset(large, 'x', 1000000);
    large[1000000] = '\0';
    const char *body = temp_file(large);
    free(large);
    cr_assert_eq(curl(x, ARGS("--data-binary", text("@%s", body)), said, sizeof said), 200);
    /* The proxy passes Host on: a page of the same origin may publish, another may not. */
    cr_assert_eq(curl(x, ARGS("-d", "x", "-H", text("Origin: %s", x->url)), said, sizeof said),
                 200);
    cr_assert_eq(curl(x, ARGS("-d", "x", "-H", "Origin: https://evil.example"), said, sizeof said),
                 403);
    cr_assert_eq(stream_number(h, "s", "events"), 3u + 2u);
}

/* The proxy is restarted; what was published meanwhile comes. */
static void reconnecting(const hub *h, proxy *x)
{
    proc *p = tool_start("sse-sub", ARGS("--cacert", in_dir("cert"), "--retry=10", "--max-retry=50",
                                         "--max-attempts=1000000", "--verbose", "--count=3",
                                         "--stream=t", x->url));
    wait_number(h, "t", "subscribers", 1);
    publish(h, "t", NULL, "before");
    expect_line(p, "before");
    proxy_stop(x);
    wait_number(h, "t", "subscribers", 0);
    publish(h, "t", NULL, "while it was away");
    proxy_start(x);
    expect_line(p, "while it was away");
    publish(h, "t", NULL, "after");
    expect_line(p, "after");
    tool_end(p, 0);
}

static void sse_pub_and_sub(const proxy *x)
{
    proc *p = tool_run("sse-pub", ARGS("--cacert", in_dir("cert"), x->url, "--stream=u", "hello"),
                       NULL, 0);
    proc_free(p);
    p = tool_run("sse-sub", ARGS("--cacert", in_dir("cert"), "--count=1", "--stream=u", x->url),
                 NULL, 0);
    cr_assert_str_eq(out_of(p), "hello\n");
    proc_free(p);
}

static void through(proxy (*start)(const hub *h))
{
    make_certificate();
    /* Without the retry nginx would keep the head of an answer for itself until the first event. */
    hub h =
        hub_start(ARGS("--stream=s", "--stream=t", "--stream=u", "--heartbeat=600", "--retry=20"));
    proxy x = start(&h);
    events_and_leaving(&h, &x);
    publishing(&h, &x);
    sse_pub_and_sub(&x);
    reconnecting(&h, &x);
    proxy_stop(&x);
    hub_end(&h);
    heartbeats(start);
}

Test(proxy, nginx) { through(nginx_for); }

Test(proxy, caddy) { through(caddy_for); }
