# Sourced by the tests of the installation. Usage of each: NAME.sh SOURCE BUILD WORK CC CXX
# SOURCE and BUILD are directories of the project; WORK is where install.sh has installed it, and where the test may write.
set -eu
source=$1 build=$2 work=$3 cc=$4 cxx=$5
tree="$work/a tree"      # the prefix; it has a blank on purpose
dest=$work/dest          # DESTDIR of an installation with the prefix /usr
me=${0##*/}
dir=$work/${me%.sh}
rm -rf "$dir"
mkdir -p "$dir"
LC_ALL=C
export LC_ALL

fail() {
    echo "$me: $*" >&2
    exit 1
}

# expect WHAT EXPECTED GOT
expect() {
    [ "$2" = "$3" ] && return
    printf '%s: %s\n--- expected\n%s\n--- got\n%s\n' "$me" "$1" "$2" "$3" >&2
    exit 1
}

# run_consumers CORE ALL: run what was built of consumer/
run_consumers() {
    expect "$1" "parsed
version 0.1.0 0.1.0" "$("$1")"
    expect "$2" "received published" "$("$2")"
}

# links_libsse PROGRAM: does it load a shared library of ours?
links_libsse() {
    readelf -d "$1" | grep -q 'NEEDED.*libsse'
}
