#!/bin/sh
# The files of contrib/: systemd accepts the units and finds them hardened, sse-server accepts the configuration.
# Needs systemd-analyze, but no systemd that runs. Usage: check_units.sh SOURCE_DIR BIN_DIR
set -eu
source=$1 bin=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# The program is not installed here.
grep -q '^ExecStart=/usr/bin/sse-server ' "$source/contrib/sse-server.service"
sed "s#/usr/bin/sse-server#$bin/sse-server#" "$source/contrib/sse-server.service" >"$dir/sse-server.service"
cp "$source/contrib/sse-server.socket" "$dir"
# Every word that verify says is about a mistake in these units or in those of the machine.
systemd-analyze verify --man=no "$dir/sse-server.service" "$dir/sse-server.socket" >"$dir/said" 2>&1 || {
    cat "$dir/said"
    exit 1
}
if grep sse-server "$dir/said"; then exit 1; fi

# Tenths: 0.5 when it was written.
systemd-analyze security --offline=true --no-pager --threshold=6 "$source/contrib/sse-server.service" >"$dir/security" || {
    grep '^✗' "$dir/security"
    tail -n 1 "$dir/security"
    exit 1
}
tail -n 1 "$dir/security"

"$bin/sse-server" --check-config --config "$source/contrib/sse-server.conf"
# What it only suggests is accepted, too.
echo secret >"$dir/tokens"
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=hub.example.org -keyout "$dir/hub.example.org.key" \
    -out "$dir/hub.example.org.pem" 2>/dev/null
openssl pkey -in "$dir/hub.example.org.key" -pubout -out "$dir/sse-server.jwt.pem"
sed -E "s/^#([a-z-]+ = )/\\1/; s#/etc/sse-server.tokens#$dir/tokens#; s#/etc/(ssl/(certs|private)/)?(hub.example|sse-server.jwt)#$dir/\\3#" \
    "$source/contrib/sse-server.conf" >"$dir/all.conf"
grep -q "^publish-token-file = $dir/tokens" "$dir/all.conf"
"$bin/sse-server" --check-config --config "$dir/all.conf"
