# Helpers that give every target of the project the same language level, warnings and sanitizers.
# Everything is target-scoped: a parent project that uses add_subdirectory() sees none of it.

add_library(sse_build_flags INTERFACE)
target_compile_features(sse_build_flags INTERFACE c_std_11)
target_compile_definitions(sse_build_flags INTERFACE _GNU_SOURCE
  $<$<BOOL:${SSE_LOCK_CHECKS}>:SSE_LOCK_CHECKS=1>)
target_compile_options(sse_build_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
  $<$<BOOL:${SSE_WERROR}>:-Werror>)
if(SSE_SANITIZE)
  target_compile_options(sse_build_flags INTERFACE
    -fsanitize=${SSE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g)
  target_link_options(sse_build_flags INTERFACE -fsanitize=${SSE_SANITIZE})
endif()

# sse_package(PREFIX "MODULE >= VERSION"): find a library by pkg-config, as target PkgConfig::PREFIX. What it leaves in the
# cache begins with SSE_, too: a parent project may look for the same library by its own means.
function(sse_package prefix module)
  string(REPLACE " " "" wanted "${module}")
  pkg_check_modules(${prefix} REQUIRED IMPORTED_TARGET ${wanted})
  set_property(GLOBAL PROPERTY SSE_MODULE_${prefix} "${module}")
endfunction()

# sse_library(NAME OUTPUT SOURCES... SIBLINGS lib PACKAGES prefixes...): one set of position-independent objects, linked as
# the shared library sse_NAME and as the static library sse_NAME_static. Aliases: sse::NAME, sse::NAME_static. PACKAGES are
# those of sse_package() that the library uses inside; who links it statically is told about them, too. Threads are linked
# by flag, so that who uses the installed package need not look for Threads::Threads.
function(sse_library name output)
  cmake_parse_arguments(ARG "" "" "SOURCES;PACKAGES;SIBLINGS" ${ARGN})
  set(objects sse_${name}_objects)
  list(TRANSFORM ARG_PACKAGES PREPEND PkgConfig:: OUTPUT_VARIABLE packages)
  add_library(${objects} OBJECT ${ARG_SOURCES})
  set_target_properties(${objects} PROPERTIES
    POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden C_STANDARD 11 C_EXTENSIONS OFF)
  target_compile_definitions(${objects} PRIVATE SSE_BUILDING)
  target_include_directories(${objects} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}
    ${CMAKE_CURRENT_SOURCE_DIR}/include)
  target_link_libraries(${objects} PRIVATE sse_build_flags ${packages})

  add_library(sse_${name} SHARED)
  add_library(sse_${name}_static STATIC)
  foreach(sibling IN LISTS ARG_SIBLINGS)
    # A sibling's private headers ("sync.h", ...) are visible while building, not to users.
    target_include_directories(${objects} PRIVATE ${PROJECT_SOURCE_DIR}/${sibling}
      ${PROJECT_SOURCE_DIR}/${sibling}/include)
    if(sibling STREQUAL "lib")
      target_link_libraries(sse_${name} PUBLIC sse_core)
      target_link_libraries(sse_${name}_static PUBLIC sse_core_static)
    endif()
  endforeach()
  foreach(target sse_${name} sse_${name}_static)
    target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:${objects}>)
    target_include_directories(${target} PUBLIC
      $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>
      $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:sse_build_flags> ${packages}
      ${CMAKE_THREAD_LIBS_INIT})
    set_target_properties(${target} PROPERTIES OUTPUT_NAME ${output} LINKER_LANGUAGE C)
  endforeach()
  set_target_properties(sse_${name} PROPERTIES VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR}
    LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/libsse.map)
  target_link_options(sse_${name} PRIVATE
    -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/libsse.map -Wl,--no-undefined-version)
  add_library(sse::${name} ALIAS sse_${name})
  add_library(sse::${name}_static ALIAS sse_${name}_static)
  sse_install_library(${name} ${output} "${ARG_PACKAGES}")
endfunction()

# sse_program(NAME SOURCES... LINK libs...): a tool, linked statically against the project's own libraries.
function(sse_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES C_STANDARD 11 C_EXTENSIONS OFF
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/lib)
  target_link_libraries(${name} PRIVATE sse_tool sse_build_flags ${ARG_LINK})
  sse_install_program(${name})
endfunction()
