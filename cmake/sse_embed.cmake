# cmake -DDIR=… -DFILES=a;b -DOUT=… -P sse_embed.cmake: the files of the page as a C source. CMake alone does it, so that building
# needs no further tool.
set(arrays "")
set(table "")
set(n 0)
foreach(file IN LISTS FILES)
  file(READ ${DIR}/${file} hex HEX)
  string(REGEX REPLACE "(................................)" "\\1\n    " hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
  string(APPEND arrays "static const unsigned char file_${n}[] = {\n    ${hex}};\n\n")
  string(APPEND table "    {\"${file}\", file_${n}, sizeof file_${n}},\n")
  math(EXPR n "${n} + 1")
endforeach()
file(WRITE ${OUT} "/* Made of the files in ${DIR} by sse_embed.cmake. */\n#include \"page.h\"\n\n${arrays}const sse__page_file sse__page_files[] = {\n${table}    {NULL, NULL, 0},\n};\n")
