# Functions of the demos, which print every command that they run.

bold='' plain=''
[ -t 1 ] && bold=$'\e[1m' plain=$'\e[0m'

chapter() {
    printf '\n%s# %s%s\n' "$bold" "$*" "$plain"
}

# show: prints the command on standard input and runs it.
show() {
    local command
    command=$(cat)
    printf '\n%s$ %s%s\n' "$bold" "${command//$'\n'/$'\n  '}" "$plain"
    eval "$command"
}

wrong=()
# shows WHAT EXPECTED: prints and runs the command on standard input. Records WHAT as wrong if the
# output is not EXPECTED.
shows() {
    local what=$1 expected=$2 command got
    command=$(cat)
    printf '\n%s$ %s%s\n' "$bold" "$command" "$plain"
    got=$(eval "$command" 2>&1) || true
    printf '%s\n' "$got"
    [ "$got" = "$expected" ] || wrong+=("$what: expected '$expected', got '$got'")
}

# no_wrong DEMO: fails if some output was not as expected.
no_wrong() {
    echo
    if [ ${#wrong[@]} -gt 0 ]; then
        printf "$1: wrong: %s\n" "${wrong[@]}" >&2
        return 1
    fi
}
