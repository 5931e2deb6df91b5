/* Counts that are smaller under sanitizers, which slow everything down some ten times. */
#ifndef TEST_SCALE_H
#define TEST_SCALE_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define SCALED(full, sanitized) (SANITIZED ? (sanitized) : (full))

#endif
