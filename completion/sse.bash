# bash completion for sse-server, sse-sub, sse-pub and sse-bench. It reads what the tool's --help says: options with the
# values that they take, and sse-bench's commands. So it never lags behind the tool.

# _sse_tool_value KIND: candidates for a value that the help calls KIND.
_sse_tool_value() {
    case $1 in
    *FILE* | PATH | DIR)
        local at=
        [[ $cur == @* && $1 == @* ]] && at=@
        mapfile -t COMPREPLY < <(compgen -P "$at" -f -- "${cur#"$at"}")
        compopt -o filenames 2>/dev/null
        ;;
    *\|*) mapfile -t COMPREPLY < <(compgen -W "${1//|/ }" -- "$cur") ;;
    esac
}

_sse_tool() {
    local tool=$1 cur=${COMP_WORDS[COMP_CWORD]} option='' command='' help kind word
    COMPREPLY=()
    # `--name=value` comes as three words; `--name value` as two.
    if [[ $cur == = ]]; then
        option=${COMP_WORDS[COMP_CWORD - 1]} cur=
    elif ((COMP_CWORD > 1)) && [[ ${COMP_WORDS[COMP_CWORD - 1]} == = ]]; then
        option=${COMP_WORDS[COMP_CWORD - 2]}
    elif ((COMP_CWORD > 1)); then
        option=${COMP_WORDS[COMP_CWORD - 1]}
    fi
    help=$("$tool" --help 2>/dev/null) || return 0
    # A tool with commands lists the options of each by `TOOL COMMAND --help`.
    local commands
    commands=$(sed -n '/^commands:/,/^$/s/^  \([a-z][a-z-]*\).*/\1/p' <<<"$help")
    if [[ $commands ]]; then
        for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
            [[ $'\n'$commands$'\n' == *$'\n'$word$'\n'* ]] && command=$word && break
        done
        if [[ ! $command && $cur != -* ]]; then
            mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur")
            return 0
        fi
        [[ ! $command ]] || help=$("$tool" "$command" --help 2>/dev/null)
    fi
    # What follows the option in the help, in quotes or up to a blank: the kind of its value; empty: it has none.
    kind=
    if [[ $option == --* ]]; then
        kind=$(sed -nE "s/^  $option ('[^']*'|[^ ]+)( .*)?\$/\\1/p" <<<"$help")
    fi
    if [[ $kind ]]; then
        _sse_tool_value "$kind"
    elif [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(sed -nE 's/^  (--[a-z0-9-]+).*/\1/p' <<<"$help")" -- "$cur")
    elif [[ $command == parse ]]; then
        _sse_tool_value FILE
    fi
}

complete -F _sse_tool sse-server sse-sub sse-pub sse-bench
