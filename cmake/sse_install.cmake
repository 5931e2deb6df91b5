# What `cmake --install` puts where: libraries, headers, pkg-config files, the CMake package, tools, man pages, completions.
# Everything installed finds its neighbours by relative paths, or by the prefix that the installation was given in the end.
#
# Components, of which cmake/sse_deb.cmake makes packages: core, server, client (shared libraries), development, tools.

set(SSE_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/sse)
set(SSE_ZSH_COMPLETION_DIR ${CMAKE_INSTALL_DATADIR}/zsh/site-functions CACHE STRING
  "Where the completion of zsh goes, below the prefix. Debian's zsh looks below /usr/local here, below /usr in share/zsh/vendor-completions.")
mark_as_advanced(SSE_ZSH_COMPLETION_DIR)

# The pkg-config file is written while installing: only then `cmake --install --prefix` is known.
function(sse_install_pkgconfig output description requires packages)
  set(SSE_PC_LIB ${output})
  set(SSE_PC_DESCRIPTION "${description}")
  set(SSE_PC_REQUIRES "${requires}")
  set(modules)
  foreach(prefix IN LISTS packages)
    get_property(module GLOBAL PROPERTY SSE_MODULE_${prefix})
    list(APPEND modules "${module}")
  endforeach()
  list(JOIN modules ", " SSE_PC_REQUIRES_PRIVATE)
  set(half ${CMAKE_CURRENT_BINARY_DIR}/lib${output}.pc.in)
  set(whole ${CMAKE_CURRENT_BINARY_DIR}/lib${output}.pc)
  # Two steps: this one fills in @NAMES@, the installation $<prefix>.
  configure_file(${PROJECT_SOURCE_DIR}/cmake/pkgconfig.pc.in ${half} @ONLY)
  install(CODE "
    file(READ \"${half}\" text)
    string(REPLACE \" \" \"\\\\ \" prefix \"\${CMAKE_INSTALL_PREFIX}\") # blanks in a path are escaped
    string(REPLACE \"<prefix>\" \"\${prefix}\" text \"\${text}\")
    file(WRITE \"${whole}\" \"\${text}\")" COMPONENT development)
  install(FILES ${whole} DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
endfunction()

# Called for each library, in its directory.
function(sse_install_library name output packages)
  if(NOT SSE_INSTALL)
    return()
  endif()
  set_target_properties(sse_${name} PROPERTIES EXPORT_NAME ${name})
  set_target_properties(sse_${name}_static PROPERTIES EXPORT_NAME ${name}_static)
  # Static targets have files of their own, since they are of use only where what they link is installed.
  install(TARGETS sse_${name} EXPORT sse_${name}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT ${name} NAMELINK_COMPONENT development)
  install(TARGETS sse_${name}_static EXPORT sse_${name}_static
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
  foreach(set sse_${name} sse_${name}_static)
    string(REPLACE _ - file ${set})
    install(EXPORT ${set} NAMESPACE sse:: FILE ${file}-targets.cmake DESTINATION ${SSE_CMAKE_DIR} COMPONENT development)
  endforeach()
  install(DIRECTORY include/sse DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
    FILES_MATCHING PATTERN "*.h")
  if(name STREQUAL "core")
    sse_install_pkgconfig(${output} "Server-Sent Events: events, parser, channels" "" "")
  else()
    sse_install_pkgconfig(${output} "Server-Sent Events: ${name}" "libsse = ${PROJECT_VERSION}" "${packages}")
  endif()

  # What sse-config.cmake has to look for before it can offer the static library.
  set(modules)
  foreach(prefix IN LISTS packages)
    get_property(module GLOBAL PROPERTY SSE_MODULE_${prefix})
    string(REPLACE " " "" module "${module}")
    list(APPEND modules "${prefix}=${module}")
  endforeach()
  set_property(GLOBAL APPEND PROPERTY SSE_COMPONENTS ${name})
  set_property(GLOBAL PROPERTY SSE_NEEDS_${name} "${modules}")
endfunction()

function(sse_install_program name)
  if(NOT SSE_INSTALL)
    return()
  endif()
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tools)
  if(name STREQUAL "sse-server")
    # The unit, the configuration and the proxies, for people to take from.
    install(DIRECTORY ${PROJECT_SOURCE_DIR}/contrib DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/sse-tools COMPONENT tools)
  endif()
  install(FILES ${PROJECT_SOURCE_DIR}/man/${name}.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT tools)
  # One file for all tools, since it asks the tool for its options; bash and fish look for it by the tool's name.
  install(FILES ${PROJECT_SOURCE_DIR}/completion/sse.bash RENAME ${name}
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT tools)
  install(FILES ${PROJECT_SOURCE_DIR}/completion/sse.fish RENAME ${name}.fish
    DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT tools)
  install(FILES ${PROJECT_SOURCE_DIR}/completion/_sse
    DESTINATION ${SSE_ZSH_COMPLETION_DIR} COMPONENT tools)
endfunction()

# Once, at the end: the CMake package of all that was built.
function(sse_install_package)
  include(CMakePackageConfigHelpers)
  get_property(components GLOBAL PROPERTY SSE_COMPONENTS)
  set(SSE_NEEDS)
  foreach(name IN LISTS components)
    get_property(needs GLOBAL PROPERTY SSE_NEEDS_${name})
    string(APPEND SSE_NEEDS "set(_sse_needs_${name} ${needs})\n")
  endforeach()
  configure_package_config_file(cmake/sse-config.cmake.in ${PROJECT_BINARY_DIR}/sse-config.cmake
    INSTALL_DESTINATION ${SSE_CMAKE_DIR} NO_SET_AND_CHECK_MACRO)
  # Before 1.0.0 a minor version may change the API.
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/sse-config-version.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/sse-config.cmake ${PROJECT_BINARY_DIR}/sse-config-version.cmake
    DESTINATION ${SSE_CMAKE_DIR} COMPONENT development)

  # For people to start from, also those of a library that was not built.
  install(DIRECTORY examples DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libsse-dev COMPONENT development
    FILES_MATCHING PATTERN "*.c")

  set(pages libsse sse_parser sse_chan)
  foreach(name IN LISTS components)
    if(NOT name STREQUAL "core")
      list(APPEND pages sse_${name})
    endif()
  endforeach()
  list(TRANSFORM pages REPLACE "(.+)" "${PROJECT_SOURCE_DIR}/man/\\1.3")
  install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT development)
endfunction()
