# Containers of an unprivileged user. CRIU needs CAP_SYS_RESOURCE to read their limits, which some
# test hosts lack.

# bats file_tags=vm

load ../pipelines/lib/helpers

setup_file() {
    build_image
    chown -R 1000:1000 "$image/app"
}

setup() {
    here=$BATS_TEST_TMPDIR/here there=$BATS_TEST_TMPDIR/there
    mkdir -p "$here/data"
    chown 1000:1000 "$here/data"
    cd "$BATS_TEST_TMPDIR"
}

teardown() {
    teardown_containers
}

uid_1000='.process.user = {uid: 1000, gid: 1000}'

@test "the README pipeline moves a container of runc with uid 1000" {
    round_trip runc "$uid_1000"
    [ "$(stat -c %u:%g "$there/rootfs/app/settings" "$there/data/file")" = $'1000:1000\n1000:1000' ]
    [ "$(runc exec web id -u)" = 1000 ]
}

@test "the README pipeline moves a container of crun with uid 1000" {
    round_trip crun "$uid_1000"
    [ "$(stat -c %u:%g "$there/rootfs/app/settings" "$there/data/file")" = $'1000:1000\n1000:1000' ]
}
