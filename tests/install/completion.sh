#!/bin/sh
# The completions of bash, zsh and fish offer every option of --help and nothing else, values where the help lists them, files
# where it asks for one, and the commands of sse-bench.
. "${0%/*}/common.sh"

PATH=$tree/bin:$PATH
export PATH
cd "$dir"
: >token.txt
sse-bench --help >help
help_options() { "$@" --help | sed -nE 's/^  (--[a-z0-9-]+).*/\1/p' | sort -u; }

# Each asks a shell to complete a command line and prints the candidates, sorted, without descriptions.
ask_bash() {
    bash --norc -c '
        set -u
        . "$1/share/bash-completion/completions/$2"
        shift
        COMP_WORDS=() # as readline cuts them: "=" is a word of its own
        for word; do
            if [[ $word == --*=* ]]; then COMP_WORDS+=("${word%%=*}" = "${word#*=}"); else COMP_WORDS+=("$word"); fi
        done
        [[ ${COMP_WORDS[-1]} || ${COMP_WORDS[-2]} != = ]] || unset "COMP_WORDS[-1]"
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        declare -F _sse_tool >/dev/null && [[ $(complete -p "$1") == *_sse_tool* ]] || exit 1
        _sse_tool "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf "%s\n" "${COMPREPLY[@]}"' - "$tree" "$@" | sort -u
}
ask_fish() {
    fish --no-config -c '
        set -l tool $argv[2]
        source $argv[1]/share/fish/vendor_completions.d/$tool.fish
        complete -C (string join " " -- $argv[2..-1])' "$tree" "$@" | cut -f1 | sort -u
}
# zsh completes only in a terminal: one of its own (zpty), in which the candidates are listed between marks.
ask_zsh() {
    zsh -f "$source/tests/install/zsh-complete" "$tree/share/zsh/site-functions" capture "$*" | sort -u
}
# The line after one press of the tabulator.
tab_zsh() {
    zsh -f "$source/tests/install/zsh-complete" "$tree/share/zsh/site-functions" tab "$*"
}

for shell in bash fish zsh; do
    for tool in sse-server sse-sub sse-pub; do
        expect "$shell: options of $tool" "$(help_options $tool)" "$(ask_$shell $tool --)"
    done
    expect "$shell: options of sse-bench parse" "$(help_options sse-bench parse)" "$(ask_$shell sse-bench parse --)"
    expect "$shell: commands" "$(sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' help | sort)" "$(ask_$shell sse-bench '')"
    expect "$shell: one command" storm "$(ask_$shell sse-bench st)"
    expect "$shell: one option" --anonymous-publish "$(ask_$shell sse-server --anonymous-p)"
    expect "$shell: values" "$(printf 'all\nnone\nresume')" "$(ask_$shell sse-server --replay '')"
    expect "$shell: values that begin" "$(printf 'drop-newest\ndrop-oldest')" "$(ask_$shell sse-server --slow-consumer drop)"
    expect "$shell: files" token.txt "$(ask_$shell sse-sub --token-file tok)"
    expect "$shell: a file behind @" @token.txt "$(ask_$shell sse-sub --body @tok)"
    expect "$shell: a value that nobody can guess" "" "$(ask_$shell sse-pub --header '')"
done
expect "fish: values behind =" --format=json "$(ask_fish sse-sub --format=j)"
expect "fish: a file behind =" --token-file=token.txt "$(ask_fish sse-sub --token-file=tok)"
expect "fish: a file behind =@" --body=@token.txt "$(ask_fish sse-sub --body=@tok)"
expect "fish: no value behind =" "" "$(ask_fish sse-pub --header=)"
expect "zsh: the only option is put in at once" "sse-server --anonymous-publish " "$(tab_zsh sse-server --anonymous-p)"
expect "zsh: one with a value, behind a URL" "sse-sub http://x --cacert=" "$(tab_zsh sse-sub http://x --cac)"
expect "bash: values behind =" json "$(ask_bash sse-sub --format=j)"
expect "bash: all values behind =" "$(printf 'data\njson\nsse')" "$(ask_bash sse-sub --format=)"
