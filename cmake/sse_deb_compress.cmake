# Run by cpack before it makes the packages: Debian wants manual pages compressed, without a time in them.
file(GLOB pages ${CPACK_TEMPORARY_DIRECTORY}/*/usr/share/man/man[13]/*.[13])
foreach(page IN LISTS pages)
  execute_process(COMMAND gzip -9n ${page} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
