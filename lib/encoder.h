/* What frames need of the encoder beside what is public. */
#ifndef SSE__ENCODER_H
#define SSE__ENCODER_H

#include "sync.h"

#include <sse/event.h>

/* Write a checked event to where there are sse_event_encoded_size() bytes. */
SSE_INTERNAL void sse__event_write(const sse_event *event, char *to);

#endif
