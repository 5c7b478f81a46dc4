# Functions for tests of archives that other programs have created.

# read_by_every_verb ARCHIVE [BUNDLE]: verifies, lists and shows ARCHIVE, and unpacks it into BUNDLE
# (default: "bundle").
read_by_every_verb() {
    ckpt-unpack --verify "$1"
    ckpt-unpack --list --json "$1" | jq -e '.members | length > 10' >/dev/null
    ckpt-unpack --show --json "$1" | jq -e '
        .id and .process_tree.pid and .process_tree.cmdline != "" and .checkpoint_size.total_size > 50000' >/dev/null
    ckpt-unpack --show "$1" >/dev/null
    ckpt-unpack --bundle "${2:-bundle}" "$1"
}

# pack_again BUNDLE [OPTION]...: packs an unpacked archive. ckpt-pack takes some members from a
# bundle only with --member.
pack_again() {
    local bundle=$1 member members=()
    shift
    while read -r member; do
        members+=(--member "$member=$bundle/$member")
    done < <(cd "$bundle" && find . -name '*.tar' -o -name 'deleted.files' -o -name dump.log | sed 's,^\./,,')
    ckpt-pack --bundle "$bundle" --ignore-volumes --ignore-rootfs "${members[@]}" "$@"
}

# equivalent A B: succeeds if both archives have the same members with the same content. The
# config.dump of B may have more keys, by which other engines identify the image, and more keys of
# volumes.
equivalent() {
    rm -rf first second
    mkdir first second
    tar -C first -xf "$1"
    tar -C second -xf "$2"
    diff <(described first/config.dump) <(described second/config.dump first/config.dump)
    rm first/config.dump second/config.dump
    diff -r --no-dereference first second
}

# described CONFIG [OTHER]: prints CONFIG in normalized form, with only the keys that OTHER has.
described() {
    jq -S --slurpfile other "${2:-$1}" 'with_entries(select(.key as $key | $other[0] | has($key)))
        | del(.namedVolumes[]? | .options, .setAnonymous)' "$1"
}
