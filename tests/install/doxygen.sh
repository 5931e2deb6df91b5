#!/bin/sh
# The API reference is made without a warning: every public function, type and field is described, every name in a description
# is one that exists. It holds a page for each header and each example.
. "${0%/*}/common.sh"

cd "$source"
{ cat docs/Doxyfile && echo "OUTPUT_DIRECTORY = \"$dir\""; } >"$dir/Doxyfile"
said=$(doxygen "$dir/Doxyfile" 2>&1 || echo "doxygen ended with $?")
expect "warnings (a comment above the declaration, or behind it on its line, describes it)" "" "$said"
grep -q 'Server-Sent Events for C' "$dir/html/index.html" || fail "no main page"
for header in "$tree"/include/sse/*.h; do
    [ -e "$dir/html/$(basename "$header" .h)_8h.html" ] || fail "no page for $header"
done
for example in examples/*.c; do
    page=$(basename "$example" .c)_8c-example.html
    [ -e "$dir/html/$page" ] || fail "no page for $example: add it to docs/api.md"
    grep -q "$page" "$dir/html/index.html" || fail "the main page does not link $example"
    grep -qF "($example)" README.md || fail "README.md does not list $example"
done
sed 's/@@.*//' tests/install/symbols/* | while read -r name; do
    grep -qrhF ">$name<" "$dir/html" --include='*_8h.html' || { echo "$name is not in the reference"; exit 1; }
done || fail "functions are missing"
