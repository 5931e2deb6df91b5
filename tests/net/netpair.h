/* Two hosts with a cable between them: network namespaces of the test's own, and a veth pair.
 *
 * The calling thread moves between them; what it starts stays where it was started: a socket, a thread, a program. Nothing is left
 * behind, because the namespaces have no names: they go with the last process and descriptor in them.
 *
 * Needs CAP_SYS_ADMIN and CAP_NET_ADMIN. One thread. What fails here fails the test. */
#ifndef TEST_NETPAIR_H
#define TEST_NETPAIR_H

#include <stdbool.h>

typedef enum netpair_host { HOST_SERVER, HOST_CLIENT } netpair_host;

/* Addresses of the two on the cable. Each has 127.0.0.1 as well. */
#define SERVER_ADDRESS "10.111.0.1"
#define CLIENT_ADDRESS "10.111.0.2"

/* May this process make namespaces? Looks at it in a child; *why says what is missing. */
bool netpair_permitted(const char **why);

/* Make both hosts; the calling thread is on the client's afterwards. */
void netpair_make(void);
void netpair_remove(void);
void netpair_enter(netpair_host host);

typedef enum netpair_cut {
    CUT_SILENTLY, /* both see a link that is up, and what they send is lost: no FIN, RST, or ICMP comes */
    CUT_LINK /* the client's side goes down: its own calls fail at once, the server sees nothing */
} netpair_cut;

void netpair_cut_off(netpair_cut how);
void netpair_heal(void);

#endif
