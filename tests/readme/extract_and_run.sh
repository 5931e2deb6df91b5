#!/bin/sh
# Take the programs out of the documents, build each as a user would, and run the server with the client against it.
# Usage: extract_and_run.sh SOURCE_DIR BUILD_DIR CC [FLAGS...]
set -eu
source=$1 build=$2 cc=$3
shift 3
dir=$(mktemp -d)
server=
cleanup() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || :
    rm -rf "$dir"
}
trap cleanup EXIT

awk -v dir="$dir" '
    /^<!-- file: / { file = dir "/" $3 }
    /^```c$/ && file != "" { on = 1; next }
    /^```$/ { on = 0; if (file != "") close(file); file = "" }
    on { print > file }' "$source/README.md" "$source/docs/migration-from-r3labs.md"
for program in clock listen server client; do
    [ -s "$dir/$program.c" ] || { echo "the documents lost $program.c"; exit 1; }
done

build_program() {
    name=$1 side=$2 library=$3
    shift 3
    # shellcheck disable=SC2086
    "$cc" -Wall -Wextra -Werror "$@" -I"$source/lib/include" -I"$source/$side/include" "$dir/$name.c" -o "$dir/$name" \
        "$build/$side/libsse_$side.a" "$build/lib/libsse.a" $library -lpthread
}
build_program clock server "-lmicrohttpd -lgnutls" "$@"
build_program server server "-lmicrohttpd -lgnutls" "$@"
build_program listen client -lcurl "$@"
build_program client client -lcurl "$@"

mkfifo "$dir/out"
"$dir/clock" 127.0.0.1:0 >"$dir/out" &
server=$!
read -r line <"$dir/out" # curl -N 'http://127.0.0.1:PORT/events?stream=clock'
url=${line#*\'} url=${url%%\?*}
"$dir/listen" "$url" >"$dir/events"
cat "$dir/events"
[ "$(grep -c '^tick: ' "$dir/events")" -eq 3 ] || { echo "the client did not get three events"; exit 1; }
kill -0 "$server" || { echo "the server ended"; exit 1; }
echo "README.md: server and client of twenty lines work"

# The pair of the migration: a server that says nothing, so the client tries until it is there.
kill "$server"
wait "$server" || :
port=${url##*:} port=${port%%/*}
"$dir/server" "127.0.0.1:$port" &
server=$!
[ "$("$dir/client" "http://127.0.0.1:$port/events")" = ping ]
kill -0 "$server"
echo "docs/migration-from-r3labs.md: server and client work"
