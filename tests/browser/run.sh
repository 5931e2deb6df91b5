#!/bin/sh
# run.sh SOURCE_DIR BUILD_DIR BIN_DIR: the tests in a real browser. Exit 77 (skipped) when chromium or node is not installed.
# playwright-core drives the browser; it is installed into BUILD_DIR, in the version that package-lock.json pins.
set -eu
source=$1 build=$2 bin=$3

skip() {
    echo "*** NO BROWSER TESTS: $1. scripts/deps --test installs it. ***"
    exit 77
}

chromium=$(command -v chromium || command -v chromium-browser) || skip "chromium is not installed"
for tool in node npm; do
    command -v $tool >/dev/null || skip "$tool is not installed"
done

mkdir -p "$build"
if ! cmp -s "$source/tests/browser/package-lock.json" "$build/installed-lock.json"; then
    cp "$source/tests/browser/package.json" "$source/tests/browser/package-lock.json" "$build"
    (cd "$build" && npm ci --ignore-scripts --no-audit --no-fund --fetch-retries=5)
    cp "$build/package-lock.json" "$build/installed-lock.json"
fi
export SSE_CHROMIUM="$chromium" SSE_MODULES="$build/" SSE_BIN="$bin" SSE_SOURCE="$source"
cd "$source/tests/browser"
exec node all.mjs
