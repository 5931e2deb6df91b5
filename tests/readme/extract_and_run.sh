#!/bin/sh
# Take the programs out of README.md, build each as a user would, and run the server with the client against it.
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
    on { print > file }' "$source/README.md"
[ -s "$dir/clock.c" ] && [ -s "$dir/listen.c" ] || { echo "README.md lost its programs"; exit 1; }

include="-I$source/lib/include -I$source/server/include -I$source/client/include"
# shellcheck disable=SC2086
"$cc" -Wall -Wextra -Werror "$@" $include "$dir/clock.c" -o "$dir/clock" \
    "$build/server/libsse_server.a" "$build/lib/libsse.a" -lmicrohttpd -lpthread
# shellcheck disable=SC2086
"$cc" -Wall -Wextra -Werror "$@" $include "$dir/listen.c" -o "$dir/listen" \
    "$build/client/libsse_client.a" "$build/lib/libsse.a" -lcurl -lpthread

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
