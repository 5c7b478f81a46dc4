# Archives that podman made: read by every verb, and packed again into an equivalent archive.

load helpers
load archives

setup() {
    cd "$BATS_TEST_TMPDIR"
    data=$tests/../ckpt-unpack/tests/data
}

@test "every archive verifies, lists, shows and unpacks" {
    for archive in "$data"/g*; do
        echo "$archive"
        read_by_every_verb "$archive" "$(basename "$archive")"
    done
}

@test "what is unpacked and packed again is equivalent: the same members with the same content" {
    for archive in "$data"/g*.tar.*; do
        case $archive in *image*) continue ;; esac
        echo "$archive"
        rm -rf bundle
        ckpt-unpack --bundle bundle <"$archive"
        pack_again bundle -o again.ckpt
        equivalent "$archive" again.ckpt
    done
}

@test "one image in its two forms is one archive, and what comes out of it packs to an image of the same content" {
    ckpt-unpack --bundle oci "$data/g22-image.oci.tar"
    ckpt-unpack --bundle docker "$data/g22-image.docker.tar.xz"
    diff <(cd oci && find . | sort) <(cd docker && find . | sort)
    diff -r -x 'mountpoints-*' oci/checkpoint docker/checkpoint
    pack_again oci --format oci --compress zstd -o again.tar
    ckpt-unpack --bundle again again.tar
    pack_again oci -o first.ckpt
    pack_again again -o second.ckpt
    equivalent first.ckpt second.ckpt
}

@test "the three compressions of podman hold the same container" {
    for archive in "$data"/g0[123]-basic*; do
        ckpt-unpack --list --json "$archive" | jq -r '.members[].name' | grep -v -e img >"$(basename "$archive").names"
    done
    diff g01*.names g02*.names
    diff g01*.names g03*.names
}
