# Archives that podman made: read by every verb, and packed again into an equivalent archive.

load helpers

setup() {
    cd "$BATS_TEST_TMPDIR"
    data=$tests/../ckpt-unpack/tests/data
}

# by_tar ARCHIVE DIR: what GNU tar finds in it.
by_tar() {
    mkdir "$2"
    tar -C "$2" -xf "$1"
}

@test "every archive verifies, lists, shows and unpacks" {
    for archive in "$data"/g*; do
        ckpt-unpack --verify "$archive"
        ckpt-unpack --list --json "$archive" | jq -e '.members | length > 10'
        ckpt-unpack --show --json "$archive" | jq -e '.id and .process_tree.children[0].pid and .checkpoint_size.total_size > 100000'
        ckpt-unpack --show --json "$archive" | jq -e '.process_tree.cmdline | contains("sh -c")'
        ckpt-unpack --bundle "$(basename "$archive")" "$archive"
    done
}

@test "what is unpacked and packed again is equivalent: the same members with the same content" {
    for archive in "$data"/*.xz; do
        rm -rf bundle first second
        ckpt-unpack --bundle bundle <"$archive"
        members=()
        while read -r member; do
            members+=(--member "$member=bundle/$member")
        done < <(cd bundle && find . -name '*.tar' -o -name 'deleted.files' | sed 's,^\./,,')
        ckpt-pack --bundle bundle --ignore-volumes --ignore-rootfs "${members[@]}" -o again.ckpt
        by_tar "$archive" first
        by_tar again.ckpt second
        # What is added for the other family of engines.
        for dump in first/config.dump second/config.dump; do
            jq -S 'del(.rootfsImage, .rootfsImageRef, .checkpointedTime) | del(.namedVolumes[]?.options)' $dump >$dump.new
            mv $dump.new $dump
        done
        diff -r first second
    done
}
