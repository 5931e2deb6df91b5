#!/bin/sh
# The documents name only what is there: functions and metrics of the sources, options of the programs, files of the tree.
# Usage: COMMANDS_RUN='DOCUMENT...' check_names.sh SOURCE_DIR BIN_DIR DOCUMENT...; COMMANDS_RUN: those whose commands are run.
set -eu
source=$1 bin=$2
shift 2
cd "$source"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bad=0

complain() {
    echo "$*"
    bad=1
}

grep -rhoE '\b(sse|SSE)_[A-Za-z0-9_]+' lib server client tests CMakeLists.txt cmake | sort -u >"$dir/known"
for program in sse-server sse-sub sse-pub; do "$bin/$program" --help; done >"$dir/help"
"$bin/sse-bench" --help >>"$dir/help"
for command in load fanout parse storm inside; do "$bin/sse-bench" "$command" --help >>"$dir/help" || :; done
# Of other programs, and of scripts.
others='--test --keep --prefix --preset --build --install --test-dir --fail-with-body --now --filter --help --version --target --list'
for document; do
    # Blocks that are neither run nor marked.
    case " $COMMANDS_RUN " in
    *" $document "*) ;;
    *)
        line=$(awk '/^<!-- not run: / { marked = 1; next } /^```sh$/ && !marked { print NR; exit } { marked = 0 }' "$document")
        [ -z "$line" ] || complain "$document:$line: these commands are not run, and do not say why"
        ;;
    esac
    grep -oE '\b(sse|SSE)_[A-Za-z0-9_]+' "$document" | sort -u | comm -23 - "$dir/known" >"$dir/unknown"
    while read -r name; do
        # The start of several names: SSE_FULL_…
        grep -q "^$name" "$dir/known" || complain "$document: there is no $name"
    done <"$dir/unknown"
    # In `code`, and at the start of words in blocks of sse-* commands.
    { grep -oE '`[^`]*`' "$document" || :; grep -E '^sse-|\| sse-' "$document" || :; } |
        grep -oE -e '(^|[ `(|])--[a-z][a-z-]+' | grep -oE -e '--[a-z-]+' | sort -u >"$dir/options" || :
    while read -r option; do
        case " $others " in *" $option "*) continue ;; esac
        grep -qE -e "(^|[^a-z-])$option([^a-z-]|\$)" "$dir/help" || complain "$document: no program has $option"
    done <"$dir/options"
    # Links to files.
    grep -oE '\]\([^)#]+' "$document" | sed 's/^](//' | grep -v '://' >"$dir/links" || :
    while read -r link; do
        [ -e "$(dirname "$document")/$link" ] || complain "$document: there is no $link"
    done <"$dir/links"
done
[ "$bad" -eq 0 ] || exit 1
echo "every name is known"
