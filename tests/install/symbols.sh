#!/bin/sh
# The shared libraries export what symbols/NAME lists, versioned, and nothing else but libsse's private names, which start with
# sse__; every one of them is declared in a public header and described in a manual page.
. "${0%/*}/common.sh"

for library in libsse libsse_server libsse_client; do
    file=$(find "$tree" -name $library.so)
    nm -D --defined-only --with-symbol-versions "$file" | awk '$2 != "A" { print $3 }' >"$dir/all"
    private=$(grep '^sse__.*@@LIBSSE_PRIVATE$' "$dir/all" || :)
    [ $library = libsse ] || expect "private names of $library" "" "$private"
    grep -v '^sse__.*@@LIBSSE_PRIVATE$' "$dir/all" | sort >"$dir/$library"
    if ! diff -u "$source/tests/install/symbols/$library" "$dir/$library"; then
        fail "$library exports something else (+) than tests/install/symbols/$library says (-).
A new function: add it there and to man/*.3. One that is gone breaks every program that uses it: a new SOVERSION."
    fi
    sed 's/@@.*//' "$dir/$library" >>"$dir/public"
done
cat "$tree"/include/sse/*.h >"$dir/headers"
cat "$source"/man/*.3 >"$dir/pages"
while read -r name; do
    grep -qw "$name" "$dir/headers" || fail "$name is exported, but declared in no public header"
    grep -qE "^\.Fn $name( |$)" "$dir/pages" || fail "$name is described in no manual page: add it to the synopsis of one of man/*.3"
done <"$dir/public"
# And the other way: what a header declares, a library has.
sed -nE 's/.*SSE_API.*[ *](sse_[a-z0-9_]+)\(.*/\1/p' "$dir/headers" | sort -u >"$dir/declared"
[ "$(wc -l <"$dir/declared")" -gt 50 ] || fail "too few functions found in the headers"
sort -u "$dir/public" | comm -13 - "$dir/declared" >"$dir/missing"
expect "functions that are declared, but exported by no library" "" "$(cat "$dir/missing")"
