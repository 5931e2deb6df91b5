# fish completion for sse-server, sse-sub, sse-pub and sse-bench. It reads what the tool's --help says: options with the
# values that they take, and sse-bench's commands. So it never lags behind the tool.

# The help that fits the command line: of the tool, or of the command that it holds.
function __sse_help
    set -l words (commandline -opc)
    set -l tool $words[1]
    for word in $words[2..-1]
        if contains -- $word (__sse_commands $tool)
            $tool $word --help 2>/dev/null
            return
        end
    end
    $tool --help 2>/dev/null
end

function __sse_commands
    $argv[1] --help 2>/dev/null | sed -n '/^commands:/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p'
end

function __sse_needs_command
    set -l words (commandline -opc)
    for word in $words[2..-1]
        if contains -- $word (__sse_commands $words[1])
            return 1
        end
    end
end

# What the help calls the value of the option before the cursor, or of that in `--name=value`; nothing when it has none.
function __sse_kind
    set -l words (commandline -opc)
    set -l option $words[-1]
    string match -q -- '--*=*' (commandline -ct); and set option (string split -m1 = -- (commandline -ct))[1]
    string match -qr -- '^--[a-z0-9-]+$' $option; or return 1
    __sse_help | sed -nE "s/^  $option ('[^']*'|[^ ]+)( .*)?\$/\1/p"
end

function __sse_has_kind
    test (count (__sse_kind)) -gt 0
end

function __sse_values
    set -l kind (__sse_kind)
    set -l value (commandline -ct)
    set -l before ''
    if string match -q -- '--*=*' $value
        set before (string split -m1 = -- $value)[1]=
        set value (string split -m1 = -- $value)[2]
    end
    set -l found
    switch "$kind"
        case '@*FILE*'
            string match -q '@*' -- $value
            and set found @(__fish_complete_path (string sub -s 2 -- $value))
        case '*FILE*' PATH DIR
            set found (__fish_complete_path $value)
        case '*|*'
            set found (string split '|' -- $kind)
    end
    printf '%s\n' $before$found
end

# The text of a long option is on the line below it.
function __sse_options
    __sse_help | sed -nE '/^  --[^ ]+( [^ ]+)?$/{N;s/\n */  /;};s/^  (--[a-z0-9-]+)( .*|$)/\1\2/p' |
        sed -E "s/^(--[a-z0-9-]+)( '[^']*'| [^ ]+)? +/\1\t/"
end

set -l tool (basename (status filename) .fish)
complete -c $tool -f
complete -c $tool -n __sse_has_kind -a '(__sse_values)'
complete -c $tool -n 'not __sse_has_kind; and __sse_needs_command' -a '(__sse_commands (commandline -opc)[1])'
complete -c $tool -n 'not __sse_has_kind; and string match -q -- "-*" (commandline -ct)' -a '(__sse_options)'
complete -c $tool -n 'not __sse_has_kind; and contains -- parse (commandline -opc)' -F
