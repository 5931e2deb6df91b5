#!/bin/bash
# Run the commands of a document: all its blocks of shell, in their order, in one shell, with the programs of this build.
# Each command has to succeed. A block below a line `<!-- not run: REASON -->` is not run, nor is one below a blank line below that.
# Port 8080 is replaced by a free one. Usage: run_commands.sh DOCUMENT BIN_DIR SOURCE_DIR
set -euo pipefail
document=$1 bin=$2 source=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cp -r "$source/contrib" .

# A port that was free a moment ago.
exec {out}< <(exec "$bin/sse-server" --listen 127.0.0.1:0)
probe=$!
read -r line <&"$out"
port=${line##*:}
kill "$probe"
while read -r line <&"$out"; do :; done # until it has ended

# The default port may be taken by something else.
mkdir programs
cat >programs/sse-server <<END
#!/bin/sh
case "\$*" in
*--listen*) exec "$bin/sse-server" "\$@" ;;
*) exec "$bin/sse-server" --listen 127.0.0.1:$port "\$@" ;;
esac
END
chmod +x programs/sse-server

cat >script <<'END'
curl() { command curl --fail-with-body "$@"; } # a refusal is a failure
# Until the server that a line has started listens.
await() {
    until (exec {try}<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do
        kill -0 $! || exit 1
        read -rt 0.05 <>never || :
    done
}
# What runs in the background either still does, or has ended well.
finish() {
    code=$?
    trap - EXIT
    for pid in $(jobs -p); do
        if kill -0 "$pid" 2>/dev/null; then
            kill "$pid"
            wait "$pid" || :
        elif ! wait "$pid"; then
            echo "a command in the background has failed" >&2
            code=1
        fi
    done
    exit "$code"
}
trap finish EXIT
END
mkfifo never
awk -v port="$port" -v name="${document##*/}" '
    /^<!-- not run:/ { if ($0 !~ /not run: [^ ].*[^ ] -->$/) { print "exit 1"; bad = 1 } skip = 1; next }
    /^```sh$/ { if (!skip) { on = 1; blocks++; printf "echo \"== %s:%d\"\n", name, NR }; inside = 1; next }
    /^```/ { inside = !inside && /^```./; on = 0; skip = 0; next }
    on { gsub(/8080/, port); print; if (/^sse-server .*&( *#.*)?$/) print "await " port }
    /[^ ]/ && !inside { skip = 0 }
    END { if (bad) print "no reason" > "/dev/stderr"; print "blocks=" blocks + 0 }' "$document" >>script
grep -q '^blocks=[1-9]' script || { echo "$document has no command that is run"; exit 1; }
PATH=$dir/programs:$bin:$PATH bash -euo pipefail script
echo "the commands of ${document##*/} work"
