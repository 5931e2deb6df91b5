/* What `fanout` measures. */
#ifndef BENCH_SCENARIOS_H
#define BENCH_SCENARIOS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct scenario {
    const char *name;
    const char *what;
    uint32_t streams, subscribers;
    double rate;       /* a second and stream; 0: flat out */
    uint32_t payload;  /* bytes */
    uint32_t active;   /* streams that are published to, 0: all */
    uint32_t coalesce; /* raw: events in one send() */
    uint32_t replay;   /* events that are published before anybody comes */
    bool publishes;
    bool memory;
    bool connect;
    bool gone;    /* subscribers leave */
    bool divides; /* among several servers, where one may not have so many descriptors */
    bool reserved[3];
} scenario;

extern const scenario scenarios[];
extern const size_t nscenarios;

#endif
