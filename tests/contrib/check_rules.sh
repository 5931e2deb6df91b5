#!/bin/sh
# Prometheus accepts the rules of contrib/ and the configuration in docs/operations.md; each alert fires when it should; the metrics are
# those of a server. Usage: check_rules.sh SOURCE_DIR BIN_DIR. Exit 77 (skipped) without promtool.
set -eu
source=$1 bin=$2
command -v promtool >/dev/null || {
    echo "*** NO TEST OF THE ALERTS: promtool is not installed. scripts/deps --test installs it. ***"
    exit 77
}
dir=$(mktemp -d)
server=
cleanup() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || :
    rm -rf "$dir"
}
trap cleanup EXIT

rules=$dir/prometheus.rules.yml
cp "$source/contrib/prometheus.rules.yml" "$source/tests/contrib/prometheus_test.yml" "$dir"
promtool check rules "$rules"
for alert in $(sed -n 's/^ *- alert: //p' "$rules"); do
    grep -q "alertname=\"$alert\"" "$dir/prometheus_test.yml" || { echo "$alert is not tested"; exit 1; }
done
promtool test rules "$dir/prometheus_test.yml"

echo token >"$dir/token"
sed -n '/^```yaml$/,/^```$/{/^```/!p}' "$source/docs/operations.md" |
    sed "s#/etc/prometheus/sse-server.rules.yml#$rules#; s#/etc/prometheus/sse-server.token#$dir/token#" >"$dir/prometheus.yml"
grep -q "$rules" "$dir/prometheus.yml"
grep -q "$dir/token" "$dir/prometheus.yml"
promtool check config "$dir/prometheus.yml"

mkfifo "$dir/out"
"$bin/sse-server" --listen 127.0.0.1:0 --stream s >"$dir/out" &
server=$!
read -r line <"$dir/out" # listening on http://127.0.0.1:PORT
curl -sf "${line#listening on }/metrics" >"$dir/metrics"
for metric in $(grep 'expr:' "$rules" | grep -oE '(sse|process)_[a-z_]+' | sort -u); do
    grep -qE "^$metric[ {]" "$dir/metrics" || { echo "a server has no metric $metric"; exit 1; }
done
echo "the alerts are good"
