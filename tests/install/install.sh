#!/bin/sh
# `cmake --install` with a prefix that holds a blank, and with DESTDIR. What is installed is what files.txt lists.
. "${0%/*}/common.sh"

rm -rf "$tree" "$dest"
cmake --install "$build" --prefix "$tree" >"$dir/log"
DESTDIR=$dest cmake --install "$build" --prefix /usr >>"$dir/log"

# Directories that differ between systems and build types get one name.
names() {
    (cd "$1" && find . -type f -o -type l) | sed -E '
        s|^\./lib(64\|/[a-z0-9_]+-linux-gnu)?/|./lib/|
        s|-targets-[a-z]+\.cmake$|-targets-TYPE.cmake|' | sort
}
expect "files below the prefix" "$(cat "$source/tests/install/files.txt")" "$(names "$tree")"
expect "files below DESTDIR" "$(cat "$source/tests/install/files.txt")" "$(names "$dest/usr")"

# Nothing installed names the directories in which it was built, or DESTDIR.
for place in "$source" "$build" "$dest"; do
    found=$(grep -rlF "$place" "$dest/usr/lib" "$dest/usr/share" "$dest/usr/include" --exclude=*.so* --exclude=*.a || :)
    [ -z "$found" ] || fail "$place is named in: $found"
done
expect "DESTDIR in pkg-config files" "prefix=/usr" "$(sed -n 1p "$dest"/usr/lib*/pkgconfig/libsse.pc "$dest"/usr/lib/*/pkgconfig/libsse.pc 2>/dev/null)"
for program in sse-server sse-sub sse-pub sse-bench; do
    expect "$program" "$program 0.1.0" "$("$tree/bin/$program" --version)"
done
