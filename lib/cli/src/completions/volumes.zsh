
# Offers the volumes of the archive on the command line. Its list is foreign input: only characters
# that no expansion interprets are accepted.
_ckpt-unpack_volumes() {
    local word
    local -a names
    if compset -P '*='; then
        _files -/
        return
    fi
    for word in "${(@Q)words[2,-1]}"; do
        [[ -f "$word" ]] || continue
        names+=(${(f)"$(ckpt-unpack --list -- "$word" 2>/dev/null </dev/null |
            LC_ALL=C sed -nE 's/^.* volumes\/([A-Za-z0-9][A-Za-z0-9_.-]*)\.tar$/\1/p')"})
    done
    compadd -S '=' -a names
}
