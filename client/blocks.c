/* Block boundaries by the standard's line rule: LF, CR and CRLF end a line, an empty line ends a
 * block. A CR at the end of a read ends its line at once; the LF that may follow counts as nothing.
 */
#include "blocks.h"

static bool ends_block(blocks *b)
{
    bool empty = !b->in_line;
    b->lines++;
    b->in_line = false;
    b->in_block = !empty;
    if (empty)
        b->complete_lines = b->lines;
    return empty;
}

size_t blocks_feed(blocks *b, const char *bytes, size_t n)
{
    size_t complete = 0;
    for (size_t i = 0; i < n; i++) {
        bool second = bytes[i] == '\n' && b->after_cr;
        b->after_cr = bytes[i] == '\r';
        if (second) {
            if (!blocks_unfinished(b))
                complete = i + 1;
        } else if (bytes[i] != '\n' && bytes[i] != '\r') {
            b->in_line = true;
        } else if (ends_block(b)) {
            complete = i + 1;
        }
    }
    return complete;
}

bool blocks_unfinished(const blocks *b) { return b->in_line || b->in_block; }
