/* Symbol visibility and compiler hints. */
#ifndef SSE_EXPORT_H
#define SSE_EXPORT_H

#define SSE_API __attribute__((visibility("default")))
#define SSE_NODISCARD __attribute__((warn_unused_result))
#define SSE_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Value of an option in milliseconds, or of a limit, that turns the thing off. (Zero is the
 * default.) */
#define SSE_OFF UINT32_MAX

#endif
