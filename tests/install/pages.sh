#!/bin/sh
# The manual pages are clean, and list the options that the tools' --help lists, with the same values; so in both directions.
. "${0%/*}/common.sh"

# What --help says, as `--name VALUE`; for a tool with commands, what the help of all of them says.
options_of() {
    "$tree/bin/$1" --help >"$dir/$1.usage"
    for command in $(sed -n '/^commands:/,/^$/s/^  \([a-z][a-z-]*\).*/\1/p' "$dir/$1.usage"); do
        "$tree/bin/$1" "$command" --help >>"$dir/$1.usage"
    done
    sed -nE "/^  --/{
        s/^  (--[^ ]+) '([^']*)'.*/\1 \2/
        t found
        s/^  (--[^ ]+) ([^ ]+).*/\1 \2/
        s/^  (--[^ ]+)( .*)?$/\1\2/
        s/  .*//
        :found
        p}" "$dir/$1.usage" | sort -u
}

# The same of a manual page: `.It Fl -name Ar VALUE`.
options_in() {
    sed -nE 's/^\.It Fl -([a-z0-9-]+)( Ar "?([^"]*)"?)?$/--\1 \3/p' "$1" | sed 's/ *$//' | sort
}

for tool in sse-server sse-sub sse-pub sse-bench; do
    options_of $tool >"$dir/$tool.help"
    [ "$(wc -l <"$dir/$tool.help")" -gt 15 ] || fail "too few options found in $tool --help"
    options_in "$source/man/$tool.1" >"$dir/$tool.man"
    if ! diff -u --label "man/$tool.1" "$dir/$tool.man" --label "$tool --help" "$dir/$tool.help"; then
        fail "man/$tool.1 lacks the options marked '+', and has those marked '-', which $tool --help does not list.
Add to its list of options, for each '+':  .It Fl -name Ar VALUE  and below it what it does and what the default is."
    fi
done

# The commands of sse-bench.
sed -n '/^commands:/,/^$/s/^  \([a-z][a-z-]*\).*/\1/p' "$dir/sse-bench.usage" | sort >"$dir/commands.help"
sed -nE 's/^\.It Cm ([a-z-]+).*/\1/p' "$source/man/sse-bench.1" | sort >"$dir/commands.man"
diff -u --label man/sse-bench.1 "$dir/commands.man" --label "sse-bench --help" "$dir/commands.help" ||
    fail "man/sse-bench.1 has to describe the commands (.It Cm) that sse-bench --help lists"

for page in "$source"/man/*.[13]; do
    said=$(mandoc -Tlint -Wwarning "$page" 2>&1 || :)
    expect "mandoc -Tlint ${page##*/}" "" "$said"
    said=$(groff -mdoc -Tutf8 -ww "$page" 2>&1 >/dev/null || :)
    expect "groff ${page##*/}" "" "$said"
done
# Each function is among the names of its page, by which `man FUNCTION` finds it.
for page in "$source"/man/*.3; do
    sed -n '/^\.Sh NAME/,/^\.Nd/s/^\.Nm \([a-z0-9_]*\).*/\1/p' "$page" | sort >"$dir/names"
    sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/s/^\.Fn \([a-z0-9_]*\).*/\1/p' "$page" | sort -u >"$dir/functions"
    [ -s "$dir/functions" ] || fail "${page##*/}: no functions found in its synopsis"
    expect "functions that the NAME of ${page##*/} lacks" "" "$(comm -13 "$dir/names" "$dir/functions")"
done
# Pages that are named in SEE ALSO are there.
for name in $(sed -nE 's/^\.Xr ((lib)?sse[a-z_-]*) ([13]).*/\1.\3/p' "$source"/man/*.[13] | sort -u); do
    [ -e "$source/man/$name" ] || fail "a manual page refers to $name, which is not there"
done
