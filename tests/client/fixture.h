/* A scripted server and one subscription to it whose callbacks are recorded. */
#ifndef TEST_CLIENT_FIXTURE_H
#define TEST_CLIENT_FIXTURE_H

#include "recorder.h"
#include "scripted_server.h"

#include <sse/client.h>

struct fixture {
    scripted *server;
    recorder *rec;
    sse_client *client;
    sse_subscription *sub;
};

/* The defaults, but it connects again at once. */
sse_client_options quick(void);

/* options: NULL for the defaults. */
struct fixture start(scripted_script script, void *user, const sse_client_options *options);
/* End the subscription, and free all of it. */
void finish(struct fixture *f);

#endif
