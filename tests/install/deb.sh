#!/bin/sh
# `cpack -G DEB`: lintian finds no error, the packages install, work, and leave nothing behind when they are purged. They are
# installed into a root of their own, whose dpkg knows the packages of this system, so that dependencies are judged for real.
. "${0%/*}/common.sh"

if cmake --preset deb -S "$source" -B "$dir/refused" -DSSE_PACKAGE_MAINTAINER=nobody >"$dir/log" 2>&1; then
    fail "a maintainer without an address was accepted"
fi
grep -q "SSE_PACKAGE_MAINTAINER is 'nobody'" "$dir/log" || fail "$(cat "$dir/log")"
maintainer='Jane Doe <jane@example.org>'
cmake --preset deb -S "$source" -B "$dir/build" -DCMAKE_C_COMPILER="$cc" -DSSE_PACKAGE_MAINTAINER="$maintainer" >"$dir/log" 2>&1 ||
    fail "$(cat "$dir/log")"
cmake --build "$dir/build" >"$dir/log" 2>&1 || fail "$(cat "$dir/log")"
(cd "$dir/build" && cpack -G DEB) >"$dir/log" 2>&1 || fail "$(cat "$dir/log")"
arch=$(dpkg --print-architecture)
version=0.1.0-1
names='libsse-client0 libsse-dev libsse-server0 libsse0 sse-tools'
expect "packages" "$(for name in $names; do echo "${name}_${version}_$arch.deb"; done)" \
    "$(cd "$dir/build" && ls -- *.deb)"
packages=$(echo "$dir"/build/*.deb)
# shellcheck disable=SC2086
lintian --allow-root --fail-on error $packages >"$dir/lintian" 2>&1 || fail "lintian: $(cat "$dir/lintian")"

field() { dpkg-deb -f "$dir/build/$1_${version}_$arch.deb" "$2"; }
depends() { # depends PACKAGE WORDS: the package depends on each
    for word in $2; do
        field "$1" Depends | tr ',' '\n' | grep -qE "^ *$word( |$)" || fail "$1 does not depend on $word, but on: $(field "$1" Depends)"
    done
}
for name in $names; do
    expect "maintainer of $name" "$maintainer" "$(field "$name" Maintainer)"
done
dpkg-deb --fsys-tarfile "$dir/build/libsse0_${version}_$arch.deb" | tar -xO ./usr/share/doc/libsse0/changelog.Debian.gz | gzip -d >"$dir/changelog"
grep -q "^ -- $maintainer  " "$dir/changelog" || fail "changelog: $(cat "$dir/changelog")"
depends libsse0 libc6
depends libsse-server0 'libsse0 libmicrohttpd12 libgnutls30'
depends libsse-client0 'libsse0 libcurl4'
depends libsse-dev 'libsse0 libsse-server0 libsse-client0 libmicrohttpd-dev libgnutls28-dev libcurl4-openssl-dev'
depends sse-tools 'libmicrohttpd12 libcurl4'
case "$(field libsse0 Depends)" in *curl* | *microhttpd*) fail "libsse0 needs more than the C library" ;; esac

# The root: a copy of what dpkg knows, and nothing else.
root=$dir/root
mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates" "$root/var/lib/dpkg/triggers"
# shellcheck disable=SC2086
dpkg-query -W -f '${Package}\n' | grep -qxE "$(echo $names | tr ' ' '|')" && fail "one of the packages is installed here already"
cp /var/lib/dpkg/status "$root/var/lib/dpkg/"
touch "$root/var/lib/dpkg/available"
find /var/lib/dpkg/info -name '*.list' -exec cp {} "$root/var/lib/dpkg/info" \;
as_root=
[ "$(id -u)" -eq 0 ] || as_root='fakeroot --'
in_root() { $as_root dpkg --root="$root" --log="$dir/dpkg.log" "$@" >"$dir/log" 2>&1 || fail "dpkg $1: $(tail -30 "$dir/log")"; }
listing() { (cd "$root" && find . -path ./var/lib/dpkg -prune -o -print | sort); }
listing >"$dir/before"
# shellcheck disable=SC2086
in_root -i $packages
# shellcheck disable=SC2086
for name in $names; do
    expect "state of $name" "ii " "$(dpkg-query --admindir="$root/var/lib/dpkg" -W -f '${db:Status-Abbrev}' $name)"
done

# They work: the tools, and a program that is built with what libsse-dev installs.
lib=$(dirname "$(find "$root/usr/lib" -name libsse.so.0)")
for program in sse-server sse-sub sse-pub sse-bench; do
    expect "$program" "$program 0.1.0" "$("$root/usr/bin/$program" --version)"
    [ -e "$root/usr/share/man/man1/$program.1.gz" ] || fail "no manual page for $program"
done
# Debian's zsh finds the completion.
if command -v zsh >/dev/null; then
    zsh_dir=$(dirname "$(find "$root/usr/share/zsh" -name _sse)")
    zsh -f -c 'print -l $fpath' | grep -qxF "${zsh_dir#"$root"}" || fail "zsh does not look for _sse in ${zsh_dir#"$root"}"
fi
mkfifo "$dir/said"
"$root/usr/bin/sse-server" --listen 127.0.0.1:0 --stream news >"$dir/said" &
server=$!
trap 'kill $server 2>/dev/null || :' EXIT
exec 3<"$dir/said"
url=
while [ -z "$url" ] && read -r line <&3; do
    url=$(echo "$line" | sed -nE 's|.*(127\.0\.0\.1:[0-9]+).*|http://\1|p')
done
"$root/usr/bin/sse-pub" "$url" --stream news --quiet hello
expect "sse-sub" hello "$("$root/usr/bin/sse-sub" "$url" --stream news --count 1)"
kill $server
wait $server || fail "sse-server ended with $?"
exec 3<&-
trap - EXIT
PKG_CONFIG_PATH=$lib/pkgconfig
PKG_CONFIG_SYSROOT_DIR=$root
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
flags=$(pkg-config --cflags --libs libsse_server libsse_client)
# shellcheck disable=SC2086
eval "\"\$cc\" \"$source/tests/install/consumer/all.c\" -o \"$dir/all\" $flags"
expect "a program" "received published" "$(LD_LIBRARY_PATH=$lib "$dir/all")"

# shellcheck disable=SC2086
in_root --purge $names
listing >"$dir/after"
expect "files that are left after a purge" "" "$(comm -13 "$dir/before" "$dir/after")"
