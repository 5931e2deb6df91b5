# sse_test(NAME SOURCES files LINK libs [LABELS labels] [ENVIRONMENT vars]): a criterion program that ctest runs. ThreadSanitizer wants address
# space randomisation off; the sanitizers abort on a report because criterion looks at signals only.
set(SSE_TEST_LAUNCHER "")
if(SSE_SANITIZE MATCHES "thread")
  set(SSE_TEST_LAUNCHER setarch -R)
endif()
set(SSE_TEST_ENVIRONMENT
  "ASAN_OPTIONS=abort_on_error=1:detect_leaks=1:detect_stack_use_after_return=1"
  "UBSAN_OPTIONS=abort_on_error=1:print_stacktrace=1"
  "TSAN_OPTIONS=halt_on_error=1:abort_on_error=1:second_deadlock_stack=1"
  "SSE_BIN=${PROJECT_BINARY_DIR}/bin"
  "SSE_SOURCE=${PROJECT_SOURCE_DIR}")

function(sse_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LINK;LABELS;ENVIRONMENT" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/lib ${PROJECT_SOURCE_DIR}/server
    ${PROJECT_SOURCE_DIR}/client ${PROJECT_SOURCE_DIR}/tests/support)
  # Criterion's macros are not clean under -Wpedantic, nor do tests declare prototypes.
  target_compile_options(${name} PRIVATE -Wno-pedantic -Wno-missing-prototypes)
  target_link_libraries(${name} PRIVATE ${ARG_LINK} PkgConfig::CRITERION sse_build_flags)
  add_test(NAME ${name} COMMAND ${SSE_TEST_LAUNCHER} $<TARGET_FILE:${name}> --jobs 2)
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}"
    ENVIRONMENT "${SSE_TEST_ENVIRONMENT};${ARG_ENVIRONMENT}")
endfunction()
