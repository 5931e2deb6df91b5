#!/bin/sh
# A project that has libsse inside, by add_subdirectory and by FetchContent: it links and runs, and gets nothing of our tools,
# tests, install rules or global settings.
. "${0%/*}/common.sh"

embedder=$source/tests/install/embedder
cmake -S "$embedder" -B "$dir/build" -G Ninja -DSSE_SOURCE="$source" -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_CXX_COMPILER="$cxx" >"$dir/log" 2>&1 || fail "$(cat "$dir/log")"
cmake --build "$dir/build" >"$dir/log" 2>&1 || fail "$(cat "$dir/log")"
for name in all_C all_CXX all_C_static all_CXX_static; do
    expect "$name" "received published" "$("$dir/build/$name")"
done

check_clean() { # check_clean BUILD
    cmake --install "$1" --prefix "$1/tree" >"$dir/log"
    expect "installed files" ./bin/all_C_static "$(cd "$1/tree" && find . -type f)"
    expect "tests" "" "$(ctest --test-dir "$1" -N | grep -E '^ +Test +#' || :)"
    expect "programs" "" "$(cd "$1" && find . -name 'sse-*' -type f -perm -100)"
    expect "names in the cache that are not ours" "" "$(sed -nE 's/^([A-Za-z_0-9]+):(BOOL|STRING|PATH|FILEPATH|UNINITIALIZED)=.*/\1/p' \
        "$1/CMakeCache.txt" | grep -vE '^(SSE_|CMAKE_|FETCHCONTENT_|BY_FETCHCONTENT|PKG_CONFIG_|pkgcfg_lib_SSE_)' || :)"
}
check_clean "$dir/build"

cmake -S "$embedder" -B "$dir/fetched" -G Ninja -DSSE_SOURCE="$source" -DBY_FETCHCONTENT=ON -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_CXX_COMPILER="$cxx" >"$dir/log" 2>&1 || fail "$(cat "$dir/log")"
cmake --build "$dir/fetched" --target all_C_static >"$dir/log" 2>&1 || fail "$(cat "$dir/log")"
expect "all_C_static, fetched" "received published" "$("$dir/fetched/all_C_static")"
check_clean "$dir/fetched"
