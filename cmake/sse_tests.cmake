# How a test program of this project is built, and the environment in which it runs. Canaries go the same way as every
# other test, so that what turns them red turns a real test red.
#
# Criterion runs each test in a process of its own and judges by how that process ends. A sanitizer that only prints, or
# that reports while the process exits, does not count: so every sanitizer is told to abort.
set(SSE_TEST_ENVIRONMENT
  "ASAN_OPTIONS=abort_on_error=1:detect_leaks=1:detect_stack_use_after_return=1"
  "UBSAN_OPTIONS=abort_on_error=1:print_stacktrace=1"
  "TSAN_OPTIONS=halt_on_error=1:abort_on_error=1:second_deadlock_stack=1"
  "SSE_BIN=${PROJECT_BINARY_DIR}/bin"
  "SSE_SOURCE=${PROJECT_SOURCE_DIR}")

# ThreadSanitizer wants address space randomisation off, and criterion to map its memory where it may.
set(SSE_TEST_LAUNCHER "")
set(SSE_TEST_RUNTIME "")
if(SSE_SANITIZE MATCHES "thread")
  set(SSE_TEST_LAUNCHER setarch -R)
  set(SSE_TEST_RUNTIME ${PROJECT_SOURCE_DIR}/tests/support/criterion_tsan.c)
endif()

# sse_test(NAME SOURCES files LINK libs [LABELS labels] [ENVIRONMENT vars] [TIMEOUT seconds] [JOBS n] [EXPECT_RED regex]):
# a criterion program that ctest runs. With EXPECT_RED ctest passes when the program fails and its output matches.
function(sse_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT;JOBS;EXPECT_RED" "SOURCES;LINK;LABELS;ENVIRONMENT" ${ARGN})
  add_executable(${name} ${ARG_SOURCES} ${SSE_TEST_RUNTIME})
  set_target_properties(${name} PROPERTIES C_STANDARD 11 C_EXTENSIONS OFF)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/support
    ${PROJECT_SOURCE_DIR}/lib ${PROJECT_SOURCE_DIR}/server ${PROJECT_SOURCE_DIR}/client)
  # Criterion's macros are not clean under -Wpedantic, nor do tests declare prototypes.
  target_compile_options(${name} PRIVATE -Wno-pedantic -Wno-missing-prototypes)
  target_link_libraries(${name} PRIVATE ${ARG_LINK} PkgConfig::CRITERION sse_build_flags)
  set(judge "")
  if(ARG_EXPECT_RED)
    set(judge sh ${PROJECT_SOURCE_DIR}/tests/canary/expect-red ${ARG_EXPECT_RED})
  endif()
  if(NOT ARG_JOBS)
    set(ARG_JOBS 2)
  endif()
  add_test(NAME ${name}
    COMMAND ${judge} ${SSE_TEST_LAUNCHER} $<TARGET_FILE:${name}> --jobs ${ARG_JOBS})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}"
    ENVIRONMENT "${SSE_TEST_ENVIRONMENT};${ARG_ENVIRONMENT}")
endfunction()

# sse_test_over_tls(NAME [FILTER pattern] [JOBS n]): run a test of sse_test() once more, with TLS between it and the hubs that it starts
# (tests/support/cert.h).
function(sse_test_over_tls name)
  cmake_parse_arguments(ARG "" "FILTER;JOBS" "" ${ARGN})
  set(filter "")
  if(ARG_FILTER)
    set(filter --filter ${ARG_FILTER})
  endif()
  if(NOT ARG_JOBS)
    set(ARG_JOBS 2)
  endif()
  add_test(NAME ${name}_over_tls
    COMMAND ${SSE_TEST_LAUNCHER} $<TARGET_FILE:${name}> --jobs ${ARG_JOBS} ${filter})
  get_test_property(${name} TIMEOUT timeout)
  get_test_property(${name} LABELS labels)
  get_test_property(${name} ENVIRONMENT environment)
  set_tests_properties(${name}_over_tls PROPERTIES TIMEOUT ${timeout} LABELS "${labels};tls"
    ENVIRONMENT "${environment};SSE_TEST_TLS=1")
endfunction()
