#!/bin/sh
# Programs in C and C++ build with what pkg-config says, shared and static, and run.
. "${0%/*}/common.sh"

libdir=$(dirname "$(find "$tree" -name libsse.pc)")/..
PKG_CONFIG_PATH=$libdir/pkgconfig
export PKG_CONFIG_PATH
for module in libsse libsse_server libsse_client; do
    expect "version of $module" 0.1.0 "$(pkg-config --modversion $module)"
done
expect "shared libraries are linked without what they use inside" "" \
    "$(pkg-config --libs libsse_server libsse_client | tr ' ' '\n' | grep -E 'microhttpd|curl' || :)"

# A tree with nothing but static libraries: --static has to name all that they use.
static=$dir/static
mkdir "$static"
cp "$libdir"/*.a "$static"

# compile PROGRAM SOURCE COMPILER LANGUAGE FLAGS MODULE...: what pkg-config prints is quoted for a shell, so eval it.
compile() {
    program=$1 file=$2 compiler=$3 standard=$4 flags=$5
    shift 5
    eval "set -- $(pkg-config $flags --cflags --libs "$@")"
    if [ "$flags" = --static ]; then set -- "-L$static" "$@" && hide; fi
    "$compiler" $standard -Wall -Wextra -Wpedantic -Werror "$source/tests/install/consumer/$file" -x none \
        -o "$dir/$program" "$@"
    show
}
hide() { mkdir "$libdir/hidden" && mv "$libdir"/*.so "$libdir/hidden"; }
show() { [ ! -d "$libdir/hidden" ] || { mv "$libdir/hidden"/* "$libdir" && rmdir "$libdir/hidden"; }; }
trap show EXIT

for language in c c++; do
    if [ $language = c ]; then compiler=$cc standard='-x c -std=c11'; else compiler=$cxx standard='-x c++ -std=c++11'; fi
    compile "core-$language" core.c "$compiler" "$standard" '' libsse
    compile "all-$language" all.c "$compiler" "$standard" '' libsse_server libsse_client
    links_libsse "$dir/all-$language" || fail "all-$language is not linked with the shared library"
    LD_LIBRARY_PATH=$libdir run_consumers "$dir/core-$language" "$dir/all-$language"

    compile "core-$language-static" core.c "$compiler" "$standard" --static libsse
    compile "all-$language-static" all.c "$compiler" "$standard" --static libsse_server libsse_client
    links_libsse "$dir/all-$language-static" && fail "all-$language-static is linked with the shared library"
    run_consumers "$dir/core-$language-static" "$dir/all-$language-static"
done

# The installed examples build with the installed library; they name the two others themselves that they use.
for example in "$tree"/share/doc/libsse-dev/examples/*.c; do
    eval "set -- $(pkg-config --cflags --libs libsse_server libsse_client libmicrohttpd libcurl)"
    "$cc" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Werror "$example" -pthread -o "$dir/$(basename "$example" .c)" "$@"
done
expect "parser_alone" "1 message: hello" "$(printf 'data: hello\n\n' | LD_LIBRARY_PATH=$libdir "$dir/parser_alone")"
