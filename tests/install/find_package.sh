#!/bin/sh
# A CMake project finds the installed package, after it was moved, in C and C++, shared and static; what is not there is told.
. "${0%/*}/common.sh"

# Moved: the package has to find its files beside itself.
cp -a "$tree" "$dir/moved tree"
consumer=$source/tests/install/consumer

configure() { # configure NAME OPTIONS...
    name=$1
    shift
    cmake -S "$consumer" -B "$dir/$name" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" \
        -DCMAKE_CXX_COMPILER="$cxx" "$@" >"$dir/log" 2>&1
}

prefix="$dir/moved tree"
for language in C CXX; do
    for suffix in '' _static; do
        name=$language$suffix
        configure "$name" -DLANGUAGE=$language -DSUFFIX=$suffix || fail "configure $name: $(cat "$dir/log")"
        cmake --build "$dir/$name" >"$dir/log" 2>&1 || fail "build $name: $(cat "$dir/log")"
        run_consumers "$dir/$name/core" "$dir/$name/everything"
        if [ -z "$suffix" ]; then
            links_libsse "$dir/$name/everything" || fail "$name is not linked with the shared library"
        elif links_libsse "$dir/$name/everything"; then
            fail "$name is linked with the shared library"
        fi
    done
done
configure components -DLANGUAGE=C '-DCOMPONENTS=server;client_static' || fail "components: $(cat "$dir/log")"

refused() { # refused WORDS NAME OPTIONS...
    words=$1
    shift
    configure "$@" && fail "$1 was found"
    tr -s '\n ' ' ' <"$dir/log" | grep -qF "$words" || fail "$1: no '$words' in: $(cat "$dir/log")"
}
refused 'component nonsense is not installed' nonsense -DLANGUAGE=C '-DCOMPONENTS=core;nonsense'

# Without libmicrohttpd and libcurl for pkg-config: the shared libraries are of use all the same, the static ones are not.
PKG_CONFIG_LIBDIR=/nonexistent
export PKG_CONFIG_LIBDIR
configure lacking -DLANGUAGE=C || fail "shared libraries without libmicrohttpd.pc: $(cat "$dir/log")"
refused 'component server_static needs libmicrohttpd>=' lacking-static -DLANGUAGE=C -DCOMPONENTS=server_static
unset PKG_CONFIG_LIBDIR

# A build of the client alone.
cmake -S "$source" -B "$dir/client-build" -G Ninja -DSSE_BUILD_SERVER=OFF -DSSE_BUILD_BENCH=OFF -DSSE_BUILD_TESTS=OFF \
    -DSSE_BUILD_EXAMPLES=OFF -DSSE_BUILD_TOOLS=OFF -DCMAKE_C_COMPILER="$cc" >"$dir/log" 2>&1 || fail "$(cat "$dir/log")"
cmake --build "$dir/client-build" >"$dir/log" 2>&1 || fail "$(cat "$dir/log")"
cmake --install "$dir/client-build" --prefix "$dir/client tree" >"$dir/log"
prefix="$dir/client tree"
configure client -DLANGUAGE=C || fail "client alone: $(cat "$dir/log")"
configure client-static -DLANGUAGE=C -DCOMPONENTS=client_static || fail "client alone, static: $(cat "$dir/log")"
refused 'component server is not installed' server -DLANGUAGE=C -DCOMPONENTS=server
[ ! -e "$dir/client tree/bin" ] || fail "tools were installed that were not built"
