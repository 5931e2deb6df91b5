/* Legitimate subscribers, and a publisher, of a server that is under attack: a thread publishes one event after another and waits
 * until each of the subscribers has it. Now and then one leaves and comes back with its last id. */
#ifndef TEST_BYSTANDERS_H
#define TEST_BYSTANDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bystanders bystanders;

/* On stream s of the server at this port. `restless`: one comes anew with every eighth event. */
bystanders *bystanders_start(uint16_t port, bool restless);
/* How many events all of them have received. */
size_t bystanders_events(bystanders *b);
/* Wait until they have received so many more. Fails the test when they do not. */
void bystanders_go_on(bystanders *b, size_t events);
/* End; fails the test when any of them missed anything or had to wait for too long. */
void bystanders_stop(bystanders *b);

#endif
