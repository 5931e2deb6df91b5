/* Peers that went without FIN or RST: power cut, cable pulled, address lost in a NAT.
 *
 * No state, any thread. The kernel itself gives up on unacknowledged data after some 15 minutes. TCP_USER_TIMEOUT would make that
 * shorter, but it also ends connections whose peer is there and does not read for a while (a window of zero, each probe of which
 * is acknowledged): who is slow is a matter of the stream's policy, not of the network. So the kernel is asked, and not told. */
#include "peer.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* Unanswered probes of a closed window; the first ones come within two seconds. */
#define PROBES 3

bool sse__peer_vanished(int fd, uint32_t limit_ms)
{
    struct tcp_info info = {.tcpi_snd_wnd = 1}; /* kernels before 5.4 leave it alone */
    socklen_t len = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return false;
    /* What is in flight into a window that has closed meanwhile may stay unacknowledged for long. */
    /* Without a retransmission the data may have left just now, after a pause of our own. */
    bool owes = (info.tcpi_unacked > 0 && info.tcpi_snd_wnd > 0 && info.tcpi_retransmits > 0) ||
                info.tcpi_probes >= PROBES;
    return owes && info.tcpi_last_ack_recv >= limit_ms;
}

void sse__peer_keepalive(int fd)
{
    int on = 1, idle_s = 60, interval_s = 15, probes = 4;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}
