# `cpack -G DEB` of a build with the preset `deb`: a package for each shared library, so that who uses the parser alone does not
# get libcurl; libsse-dev; and sse-tools. Dependencies on other packages are found by dpkg-shlibdeps; among our own they are
# exact, since the libraries share private names.
set(SSE_PACKAGE_MAINTAINER "libsse maintainers <maintainers@libsse.invalid>" CACHE STRING
  "Who answers for the Debian packages: Name <address>. The default is nobody that mail reaches.")
if(NOT SSE_PACKAGE_MAINTAINER MATCHES "^[^<>]+ <[^<>@ ]+@[^<>@ ]+>$")
  message(FATAL_ERROR "SSE_PACKAGE_MAINTAINER is '${SSE_PACKAGE_MAINTAINER}', and not of the form: Name <address>")
endif()
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "${SSE_PACKAGE_MAINTAINER}")
set(changelog ${PROJECT_BINARY_DIR}/packaging/changelog)
configure_file(${PROJECT_SOURCE_DIR}/packaging/changelog.in ${changelog} @ONLY)
file(STRINGS ${changelog} first LIMIT_COUNT 1)
if(NOT first MATCHES "^libsse \\(${PROJECT_VERSION}-([0-9]+)\\)")
  message(FATAL_ERROR "packaging/changelog.in begins with '${first}', but this is version ${PROJECT_VERSION}")
endif()
set(CPACK_DEBIAN_PACKAGE_RELEASE ${CMAKE_MATCH_1})
set(version "${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}")

set(CPACK_PACKAGE_NAME libsse)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_VENDOR libsse)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # each package has its own
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_SET_DESTDIR ON) # so that pkg-config files name /usr, and not the place where the package is put together
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS
  ${PROJECT_BINARY_DIR}/lib ${PROJECT_BINARY_DIR}/server ${PROJECT_BINARY_DIR}/client)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/sse_deb_compress.cmake)

find_program(GZIP gzip)
mark_as_advanced(GZIP)

# sse_deb(PACKAGE COMPONENT SECTION DEPENDS DESCRIPTION): a package of a component, with the files that Debian wants beside it.
set(CPACK_COMPONENTS_ALL)
macro(sse_deb package component section depends description)
  string(TOUPPER deb_${component} upper)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${package})
  set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${section})
  set(CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS "${depends}")
  set(CPACK_DEBIAN_${upper}_DESCRIPTION "${description}")
  if("${section}" STREQUAL "libs")
    # A library asks for ldconfig by a trigger. CPack would add scripts that call it, unless there are some of ours: these do
    # not exist, which CPack says and which leaves the package without scripts.
    set(CPACK_DEBIAN_${upper}_PACKAGE_CONTROL_EXTRA
      ${PROJECT_SOURCE_DIR}/packaging/triggers ${PROJECT_BINARY_DIR}/no/postinst ${PROJECT_BINARY_DIR}/no/postrm)
  endif()
  string(TOUPPER ${component} upper)
  set(CPACK_COMPONENT_${upper}_GROUP deb_${component})
  set(CPACK_COMPONENT_DOC_${upper}_GROUP deb_${component})
  list(APPEND CPACK_COMPONENTS_ALL ${component} doc_${component})
  if(GZIP)
    set(doc ${PROJECT_BINARY_DIR}/packaging/${package})
    file(MAKE_DIRECTORY ${doc})
    foreach(pair "${changelog}=changelog.Debian.gz" "${PROJECT_SOURCE_DIR}/CHANGELOG.md=changelog.gz")
      string(REPLACE = ";" pair ${pair})
      list(GET pair 0 from)
      list(GET pair 1 to)
      execute_process(COMMAND ${GZIP} -9nc ${from} OUTPUT_FILE ${doc}/${to} COMMAND_ERROR_IS_FATAL ANY)
    endforeach()
    install(FILES ${doc}/changelog.Debian.gz ${doc}/changelog.gz ${PROJECT_SOURCE_DIR}/packaging/copyright
      DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package} COMPONENT doc_${component} EXCLUDE_FROM_ALL)
  endif()
endmacro()

set(all "Server-Sent Events let a server push events to browsers and programs
over HTTP.")
sse_deb(libsse0 core libs "" "Server-Sent Events: parser, encoder and channels
${all} This library holds what servers and clients share: events,
an encoder, an incremental parser, and channels between threads.")
set(development "libsse0 (= ${version})")
if(SSE_BUILD_SERVER)
  sse_deb(libsse-server0 server libs "libsse0 (= ${version})" "Server-Sent Events: server library
${all} This library is a hub of streams inside a program, on
libmicrohttpd.")
  string(APPEND development ", libsse-server0 (= ${version}), libmicrohttpd-dev, libgnutls28-dev")
endif()
if(SSE_BUILD_CLIENT)
  sse_deb(libsse-client0 client libs "libsse0 (= ${version})" "Server-Sent Events: client library
${all} This library subscribes to streams and resumes them, on
libcurl.")
  string(APPEND development ", libsse-client0 (= ${version}), libcurl4-openssl-dev | libcurl4-dev")
endif()
sse_deb(libsse-dev development libdevel "${development}" "Server-Sent Events: headers and static libraries
${all} This package is what building programs with libsse needs:
headers, static libraries, pkg-config files, a CMake package, and manual
pages.")
if(SSE_BUILD_TOOLS)
  sse_deb(sse-tools tools net "" "Server-Sent Events: hub, subscriber, publisher and load tester
${all} This package holds sse-server, a hub of streams; sse-sub and
sse-pub, which subscribe and publish; and sse-bench, a load tester.")
endif()
include(CPack)
