/* Log lines: levels, formatting, cutting. */
#include "logger.h"

#include <criterion/criterion.h>
#include <string.h>

struct lines {
    size_t count;
    sse_log_level level;
    char last[2048];
};

static void take(void *user, sse_log_level level, const char *line)
{
    struct lines *l = user;
    l->count++;
    l->level = level;
    strncpy(l->last, line, sizeof l->last - 1);
}

Test(log, levels_have_names)
{
    cr_assert_str_eq(sse_log_level_name(SSE_LOG_DEFAULT), "info");
    cr_assert_str_eq(sse_log_level_name(SSE_LOG_ERROR), "error");
    cr_assert_str_eq(sse_log_level_name(SSE_LOG_WARN), "warn");
    cr_assert_str_eq(sse_log_level_name(SSE_LOG_INFO), "info");
    cr_assert_str_eq(sse_log_level_name(SSE_LOG_DEBUG), "debug");
    cr_assert_str_eq(sse_log_level_name((sse_log_level)77), "unknown");
}

Test(log, lines_above_the_level_are_not_made)
{
    struct lines l = {0};
    sse_logger logger = {.fn = take, .user = &l};
    for (int limit = SSE_LOG_DEFAULT; limit <= SSE_LOG_DEBUG; limit++) {
        logger.level = (sse_log_level)limit;
        int effective = limit == SSE_LOG_DEFAULT ? SSE_LOG_INFO : limit;
        for (int level = SSE_LOG_ERROR; level <= SSE_LOG_DEBUG; level++) {
            size_t before = l.count;
            cr_assert_eq(sse__log_wants(&logger, (sse_log_level)level), level <= effective);
            sse__log(&logger, (sse_log_level)level, "%d of %s", level, "many");
            cr_assert_eq(l.count - before, level <= effective);
            if (level <= effective)
                cr_assert_eq((int)l.level, level);
        }
    }
    cr_assert_str_eq(l.last, "4 of many");
}

Test(log, without_a_callback_nothing_happens)
{
    sse_logger logger = {0};
    cr_assert_not(sse__log_wants(&logger, SSE_LOG_ERROR));
    sse__log(&logger, SSE_LOG_ERROR, "nobody hears it");
}

Test(log, long_lines_are_cut)
{
    struct lines l = {0};
    sse_logger logger = {.fn = take, .user = &l};
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    sse__log(&logger, SSE_LOG_WARN, "%s", text);
    cr_assert_eq(strlen(l.last), 1023);
}

Test(log, a_line_is_one_line)
{
    struct lines l = {0};
    sse_logger logger = {.fn = take, .user = &l};
    sse__log(&logger, SSE_LOG_WARN, "header %s", "a\r\nb\x1b[31m\tc\x7f \xc3\xa4");
    cr_assert_str_eq(l.last, "header a??b?[31m?c? \xc3\xa4");
}
