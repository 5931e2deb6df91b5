/* sse-bench as a program, against servers that refuse, break off or die: what it says of them, and that
 * it ends. */
#include "../e2e/json.h"
#include "../support/scripted_server.h"
#include "program.h"

#include <criterion/criterion.h>
#include <string.h>

#define REFUSAL(status) "HTTP/1.1 " status "\r\nContent-Length: 0\r\n\r\n"

Test(bench_peers, refusals_are_told_by_kind)
{
    scripted *s = scripted_start(
        scripted_play, REPLIES({REFUSAL("429 Slow Down"), END_FIN, 0},
                               {REFUSAL("503 Busy"), END_FIN, 0}, {"SSH-2.0\r\n", END_FIN, 0},
                               {"HTTP/1.1 200", END_FIN, 0}, {REFUSAL("503 Busy"), END_FIN, 0}));
    const char *url = url_of(scripted_port(s), "/events");
    expect_says(ARGS("load", url, "--subscribers", "6"), 69,
                (const char *const[]){"6 of 6 subscribers were not served", "status is 429 (1)",
                                      "status is 503 (3)", "not HTTP (1)",
                                      "closed the connection without an answer (1)", NULL});
    scripted_stop(s);
}

/* There is nothing to wait for once all have lost their connection again. */
Test(bench_peers, a_stream_that_ends_at_once_does_not_hold_up_the_rest)
{
    scripted *s = scripted_start(scripted_play, REPLIES({STREAM_HEAD, END_FIN, 0}));
    const char *url = url_of(scripted_port(s), "/events");
    expect_code(ARGS("load", url, "--subscribers", "3"), 69, "the server ended the stream");
    expect_code(ARGS("storm", url, "--subscribers", "3"), 69,
                "first connect: 3 of 3 were not served: the server ended the stream");
    scripted_stop(s);
}
