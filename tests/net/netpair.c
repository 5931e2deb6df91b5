/* See netpair.h.
 *
 * A silent cut gives each side a wrong hardware address for the other one: frames leave as ever, and the other side drops them as
 * not meant for it. That needs no module of the kernel, and no route or link changes. */
#include "netpair.h"

#include "../support/proc.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROGRAM_MS = 60000 };

#define NOBODY "02:00:00:00:00:fe"

static const struct {
    const char *device, *address, *hardware;
} hosts[] = {{"cable0", SERVER_ADDRESS, "02:00:00:00:00:01"},
             {"cable1", CLIENT_ADDRESS, "02:00:00:00:00:02"}};

static int spaces[2] = {-1, -1};
static int home = -1;
static proc *resident; /* a process on the client's host, for `ip` to name it by */

static void run(const char *const argv[])
{
    int code;
    proc *p = proc_run(argv, NULL, PROGRAM_MS, &code);
    cr_assert_not_null(p, "%s does not run", argv[0]);
    cr_assert_eq(code, 0, "%s %s %s: %s", argv[0], argv[1], argv[2], proc_stderr(p, NULL));
    proc_free(p);
}

#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

/* ---- may we? ---- */

static int try_it(void)
{
    const char *const argv[] = {"ip", "link", "add", "type", "veth", NULL};
    int code;
    if (unshare(CLONE_NEWNET) != 0)
        return 1;
    proc *p = proc_run(argv, NULL, PROGRAM_MS, &code);
    if (!p)
        return 2;
    proc_free(p);
    return code == 0 ? 0 : 3;
}

bool netpair_permitted(const char **why)
{
    static const char *const reasons[] = {
        "", "unshare(CLONE_NEWNET) is not permitted", "there is no program 'ip' (iproute2)",
        "'ip link add type veth' fails", "a child did not end in order"};
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(try_it());
    bool ended = child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status);
    int code = ended ? WEXITSTATUS(status) : 4;
    *why = reasons[code <= 4 ? code : 4];
    return code == 0;
}

/* ---- hosts ---- */

static int this_space(void)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    return fd;
}

static void make_space(netpair_host host)
{
    cr_assert_eq(unshare(CLONE_NEWNET), 0);
    spaces[host] = this_space();
    RUN("ip", "link", "set", "lo", "up");
}

void netpair_enter(netpair_host host) { cr_assert_eq(setns(spaces[host], CLONE_NEWNET), 0); }

static void set_neighbour(netpair_host host, const char *hardware)
{
    netpair_enter(host);
    RUN("ip", "neigh", "replace", hosts[!host].address, "lladdr", hardware, "dev",
        hosts[host].device, "nud", "permanent");
}

static void plug_in(netpair_host host)
{
    char address[32];
    snprintf(address, sizeof address, "%s/24", hosts[host].address);
    netpair_enter(host);
    RUN("ip", "addr", "add", address, "dev", hosts[host].device);
    RUN("ip", "link", "set", hosts[host].device, "address", hosts[host].hardware, "up");
    set_neighbour(host, hosts[!host].hardware);
}

void netpair_make(void)
{
    char pid[16];
    home = this_space();
    make_space(HOST_SERVER);
    make_space(HOST_CLIENT);
    resident = proc_start((const char *const[]){"cat", NULL});
    cr_assert_not_null(resident);
    snprintf(pid, sizeof pid, "%ld", (long)proc_pid(resident));
    netpair_enter(HOST_SERVER);
    RUN("ip", "link", "add", hosts[HOST_SERVER].device, "type", "veth", "peer", "name",
        hosts[HOST_CLIENT].device, "netns", pid);
    plug_in(HOST_SERVER);
    plug_in(HOST_CLIENT);
}

void netpair_remove(void)
{
    cr_assert_eq(setns(home, CLONE_NEWNET), 0);
    proc_free(resident);
    close(spaces[HOST_SERVER]);
    close(spaces[HOST_CLIENT]);
    close(home);
}

/* ---- the cable ---- */

void netpair_cut_off(netpair_cut how)
{
    if (how == CUT_SILENTLY) {
        set_neighbour(HOST_SERVER, NOBODY);
        set_neighbour(HOST_CLIENT, NOBODY);
    } else {
        netpair_enter(HOST_CLIENT);
        RUN("ip", "link", "set", hosts[HOST_CLIENT].device, "down");
    }
    netpair_enter(HOST_CLIENT);
}

/* Neighbours go with a link that goes down. */
void netpair_heal(void)
{
    netpair_enter(HOST_CLIENT);
    RUN("ip", "link", "set", hosts[HOST_CLIENT].device, "up");
    set_neighbour(HOST_SERVER, hosts[HOST_CLIENT].hardware);
    set_neighbour(HOST_CLIENT, hosts[HOST_SERVER].hardware);
    netpair_enter(HOST_CLIENT);
}
