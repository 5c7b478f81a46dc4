# The OCI image of "make image", read by skopeo, umoci and podman. Needs $OCI_IMAGE, the file.

load ../pipelines/lib/helpers
load ../pipelines/lib/podman

tools='spec-gen rootfs-diff vol-archive netstatus ckpt-pack ckpt-unpack'

setup_file() {
    build_image
    setup_podman
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$BATS_TEST_DIRNAME/../../Cargo.toml" | head -n 1)
}

skopeo_() {
    skopeo --insecure-policy --tmpdir "$BATS_TEST_TMPDIR" "$@"
}

# runs CMD... PROGRAM: succeeds if PROGRAM prints its name and version.
runs() {
    [ "$("$@" --version)" = "$(basename "${*: -1}") $version" ]
}

@test "skopeo reads the image as an OCI archive and as one of docker save" {
    skopeo_ inspect "oci-archive:$OCI_IMAGE:ckpt-tools:$version" |
        jq -e --arg version "$version" '.Os == "linux" and .Labels["org.opencontainers.image.version"] == $version'
    for from in oci-archive docker-archive; do
        skopeo_ copy -q "$from:$OCI_IMAGE" "oci:$from:tools"
    done
}

@test "umoci unpacks the image, and its programs run" {
    skopeo_ copy -q "oci-archive:$OCI_IMAGE" oci:layout:tools
    umoci unpack --image layout:tools bundle
    for tool in $tools; do runs "bundle/rootfs/usr/bin/$tool"; done
    [ "$(ls bundle/rootfs/usr/bin | wc -l)" = 6 ]
    [ -s bundle/rootfs/usr/share/doc/ckpt-tools/third-party ]
}

@test "podman loads the image, and runs each tool from it" {
    podman_ load -q -i "$OCI_IMAGE"
    for tool in $tools; do runs podman_ run --rm --network none "localhost/ckpt-tools:$version" "$tool"; done
    mkdir volume
    echo content >volume/file
    podman_ run --rm --network none -v "$PWD/volume:/volume" "localhost/ckpt-tools:$version" vol-archive create /volume |
        tar -xO file | grep -x content
}

@test "a Containerfile copies the tools from the image, or starts from it" {
    podman_ load -q -i "$OCI_IMAGE"
    cat >Containerfile <<END
FROM localhost/image
COPY --from=localhost/ckpt-tools:$version /usr/bin/ /usr/local/bin/
END
    podman_ build -q --isolation chroot -t localhost/copied -f Containerfile .
    runs podman_ run --rm --network none localhost/copied /usr/local/bin/ckpt-unpack
    cat >Containerfile <<END
FROM localhost/ckpt-tools:$version
ENTRYPOINT ["/usr/bin/netstatus"]
END
    podman_ build -q --isolation chroot -t localhost/derived -f Containerfile .
    [ "$(podman_ run --rm --network none localhost/derived --version)" = "netstatus $version" ]
}

@test "with the programs of the image, the demo reaches the restored counter" {
    skopeo_ copy -q "oci-archive:$OCI_IMAGE" oci:layout:tools
    umoci unpack --image layout:tools bundle
    PATH=$PWD/bundle/rootfs/usr/bin:$PATH
    [ "$(command -v ckpt-pack)" = "$PWD/bundle/rootfs/usr/bin/ckpt-pack" ]
    "$BATS_TEST_DIRNAME/../demo" | tail -n 1 | grep 'the counter went on'
}
