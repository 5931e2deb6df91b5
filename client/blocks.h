/* Finds where the blocks of a text/event-stream end, so that a stream can be cut between two
 * events. */
#ifndef SSE_BLOCKS_H
#define SSE_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct blocks {
    size_t lines;          /* line ends seen */
    size_t complete_lines; /* of these, up to the end of the last complete block */
    bool in_line;          /* the current line has a character */
    bool in_block;         /* the current block has a line */
    bool after_cr;         /* a LF that comes now belongs to the line end before it */
} blocks;

/* Look at the next n bytes. Returns how many of them belong to complete blocks: up to the end of
 * the last empty line, 0 if none. */
size_t blocks_feed(blocks *b, const char *bytes, size_t n);

/* True when a block has begun and not ended. */
bool blocks_unfinished(const blocks *b);

#endif
