# Every code block of the README and of docs/migration.md has the described result (see
# documents.bash).

load ../lib/helpers
load ../lib/documents

setup_file() {
    if [ -n "${NEWER_CRIU:-}" ]; then export PATH=$NEWER_CRIU:$PATH; fi
    build_image
    documents README.md docs/migration.md
    hosts
}

teardown_file() {
    no_hosts
}

setup() {
    cd "$hosts/home/here"
}

teardown() {
    web_is_gone
}

@test "README: a running container moves to the other host" {
    web_runs -v /srv/data:/data
    web_is_awaited /run/web2/rootfs
    follow README.md '# here: a running container'
    before=$(counted "$B/rootfs")
    cp web.ckpt "$hosts/home/there"
    follow_there README.md '# there: another bundle'
    there=/proc/$(cat "$hosts/there")/root
    counted_past "$there$B2/rootfs/tmp/counter" "$before"
    [ "$(ssh there runc exec web cat /app/settings /app/cache/new /data/file)" = $'changed\nfresh\nin the volume' ]
    [ "$(cat "$there/srv/data2/file")" = 'in the volume' ]
    run ! ssh there runc exec web ls /app/deleted
    [ "$(ssh there ip -n web -json address show eth0 | jq -r '.[0].addr_info[0].local')" = 10.88.0.5 ]
}

# 010-round-trip.bats runs "make demo". "make check" would run this test again.
@test "README: the two make targets exist" {
    printf '#!/bin/sh\nexec /usr/bin/make -n -C "%s" "$@"\n' "$source_dir" >"$hosts/bin/make"
    chmod +x "$hosts/bin/make"
    follow README.md 'make demo ' >recipes
    rm "$hosts/bin/make"
    grep 'tests/host/enter tests/demo' recipes
    grep 'tests/check' recipes
}

# These test files run in the same run as this one.
@test "README: the tests of losses exist" {
    mkdir -p tests/pipelines
    printf '#!/bin/sh\ncd "%s" && ls "$@" && exec bats --count "$@"\n' "$source_dir" >tests/pipelines/run
    chmod +x tests/pipelines/run
    follow README.md '067-podman-alone.bats'
}

@test "README: make installs below /usr/local and into a package" {
    mkdir checkout built
    cp -r "$source_dir"/{Makefile,Cargo.toml,LICENSE,*.md,docs,man,tests} checkout/
    ln -s "$(dirname "$(command -v ckpt-pack)")" built/release
    # Runs everything except the compiler.
    CARGO=true CARGO_TARGET_DIR=$PWD/built PATH=$PATH:/usr/bin
    export CARGO CARGO_TARGET_DIR
    cd checkout
    follow README.md 'make && make install'
    for prefix in /usr/local package/usr; do
        for tool in spec-gen rootfs-diff vol-archive netstatus ckpt-pack ckpt-unpack; do
            [ -x "$prefix/bin/$tool" ]
            [ -f "$prefix/share/man/man1/$tool.1" ]
        done
    done
    /usr/local/bin/ckpt-pack --version
    make uninstall
    [ -z "$(find /usr/local -type f)" ]
}

# migration_is_prepared: runs the preparations of docs/migration.md on both hosts.
migration_is_prepared() {
    block docs/migration.md 'migrate_out() {' >"$hosts/profile"
    web_runs
    follow docs/migration.md 'ckpt-pack --check'
    export IMAGE=$image
    ssh there mkdir -p /srv/web/{upper,work,rootfs}
    cp "$tests/netavark-options.json" "$hosts/home/there/opts.json"
    # CRIU 4.1 fails with this lock, as docs/migration.md says.
    case $(criu --version) in "Version: 4.1"*) rm /etc/criu/default.conf ;; esac
    follow_there docs/migration.md 'mount -t overlay'
}

# bats test_tags=tcp
@test "docs/migration.md: a container moves through one pipe" {
    migration_is_prepared
    before=$(counted "$B/rootfs")
    follow README.md 'migrate_out web'
    there=/proc/$(cat "$hosts/there")/root
    counted_past "$there/srv/web/rootfs/tmp/counter" "$before"
    [ "$(ssh there runc exec web cat /app/settings /app/cache/new)" = $'changed\nfresh' ]
    [ "$(block docs/migration.md 'migrate_out web')" = "$(block README.md 'migrate_out web')" ]
}

# bats test_tags=tcp
@test "docs/migration.md: the old host continues after a failure" {
    migration_is_prepared
    run ! bash -o pipefail -c "source $hosts/profile; migrate_out web /run/web web | { head -c 20000 >/dev/null; false; }"
    before=$(counted "$B/rootfs")
    follow docs/migration.md 'runc restore -d --tcp-established --bundle /run/web '
    counted_past "$B/rootfs/tmp/counter" "$before"
}

@test "README: the recipes are the same as in ckpt-tools(7)" {
    "$tests/pipelines/lib/blocks" "$source_dir/man/ckpt-tools.7" recipes
    local recipe file count=0
    for file in "$BATS_FILE_TMPDIR"/blocks/README.md/*; do
        for recipe in recipes/*; do
            if cmp -s "$recipe" "$file"; then
                cp "$file" "$file.run"
                count=$((count + 1))
            fi
        done
    done
    [ "$count" -gt 10 ]
}

@test "README: the picture is up to date and has all tools" {
    "$source_dir/docs/draw" "$source_dir/docs/pipeline.txt" | cmp - "$source_dir/docs/pipeline.svg"
    for tool in spec-gen rootfs-diff vol-archive netstatus ckpt-pack ckpt-unpack; do
        grep -q ">$tool" "$source_dir/docs/pipeline.svg"
    done
}

@test "README: all files that it mentions exist" {
    local name
    for name in $(grep -oE '`(docs|tests|man)/[^` ]*`|\]\([^)]*\)' "$source_dir/README.md" | tr -d '`()]'); do
        [ -e "$source_dir/$name" ] || { echo "$name"; false; }
    done
}

@test "every code block was run" {
    [ -n "${NEWER_CRIU+known}" ] || not_run "docs/migration.md needs a CRIU that dumps TCP sockets"
    all_followed
}
