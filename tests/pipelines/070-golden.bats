# Archives that podman, CRI-O and containerd have created: each command reads them, and packing them again creates an
# equivalent archive.

load lib/helpers
load lib/archives

setup() {
    cd "$BATS_TEST_TMPDIR"
    data=$tests/../ckpt-unpack/tests/data
}

@test "ckpt-unpack verifies, lists, shows and unpacks every archive" {
    for archive in "$data"/[gi]*; do
        echo "$archive"
        read_by_every_verb "$archive" "$(basename "$archive")"
    done
}

@test "an archive that is packed again has the same content" {
    for archive in "$data"/g*.tar.*; do
        case $archive in *image*) continue ;; esac
        echo "$archive"
        rm -rf bundle
        ckpt-unpack --bundle bundle <"$archive"
        pack_again bundle -o again.ckpt
        equivalent "$archive" again.ckpt
    done
}

@test "an OCI image and a docker image hold the same archive" {
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

@test "podman's three compressions contain the same container" {
    for archive in "$data"/g0[123]-basic*; do
        ckpt-unpack --list --json "$archive" | jq -r '.members[].name' | grep -v -e img >"$(basename "$archive").names"
    done
    diff g01*.names g02*.names
    diff g01*.names g03*.names
}

@test "ckpt-pack --from-archive copies every archive byte for byte" {
    for archive in "$data"/g*.tar.*; do
        case $archive in *image*) continue ;; esac
        echo "$archive"
        ckpt-pack --from-archive "$archive" --compress zstd -o copy.zst
        cmp <(zstd -dcq copy.zst) <(decompressed "$archive")
        ckpt-pack --from-archive "$archive" --format oci --tag web:1 -o copy.oci
        ckpt-pack --from-archive - --compress gzip <copy.oci | gzip -dc | cmp - <(decompressed "$archive")
        ckpt-unpack --verify copy.oci
    done
}

# decompressed FILE: prints a file without its compression.
decompressed() {
    case $1 in
    *.gz) gzip -dc "$1" ;;
    *.zst) zstd -dcq "$1" ;;
    *.xz) xz -dc "$1" ;;
    *) cat "$1" ;;
    esac
}
