#!/bin/sh
# Run the examples of manual pages, one page after the other, as run_commands.sh runs those of a document.
# Usage: man_commands.sh BIN_DIR SOURCE_DIR PAGE...
set -eu
bin=$1 source=$2
shift 2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
document=$dir/examples_of
for page; do document=${document}_$page; done
for page; do
    # \e is a backslash; .Dl is a line, what is between .Bd and .Ed are lines.
    awk '
        /^\.Sh / { examples = $2 == "EXAMPLES"; next }
        !examples { next }
        /^\.Dl / { print "```sh"; print substr($0, 5); print "```"; next }
        /^\.Bd / { print "```sh"; block = 1; next }
        /^\.Ed/ { print "```"; block = 0; next }
        block { print }' "$source/man/$page" | sed 's/\\e/\\/g' >"$dir/page"
    [ -s "$dir/page" ] || { echo "$page has no example"; exit 1; }
    cat "$dir/page" >>"$document"
done
"$(dirname "$0")/run_commands.sh" "$document" "$bin" "$source"
