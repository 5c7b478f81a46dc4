
# Offers the volumes of the archive on the command line. Its list is foreign input: only characters
# that no expansion interprets are accepted.
_ckpt__unpack_volumes() {
    local word name
    COMPREPLY=()
    for word in "${COMP_WORDS[@]:1}"; do
        [[ -f "$word" ]] || continue
        for name in $(ckpt-unpack --list -- "$word" 2>/dev/null </dev/null |
            LC_ALL=C sed -nE 's/^.* volumes\/([A-Za-z0-9][A-Za-z0-9_.-]*)\.tar$/\1/p'); do
            [[ "$name=" == "$1"* ]] && COMPREPLY+=("$name=")
        done
    done
}
