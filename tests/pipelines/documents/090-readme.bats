# Every code block of the README, docs/losses.md and docs/migration.md has the described result (see
# documents.bash).

load ../lib/helpers
load ../lib/documents

setup_file() {
    if [ -n "${NEWER_CRIU:-}" ]; then export PATH=$NEWER_CRIU:$PATH; fi
    build_image
    documents README.md docs/losses.md docs/migration.md
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

# session FILE: runs the commands of a session, which is a transcript with the prompts "here# " and
# "there# ", and prints the same transcript with the real output.
session() {
    local line host command='' lines=()
    mapfile -t lines <"$1"
    lines+=('')
    for line in "${lines[@]}"; do
        case $line in
        '> '*) command+=$'\n'${line#> } && printf '%s\n' "$line" && continue ;;
        esac
        # A command ends before the next line that does not continue it.
        [ -z "$command" ] || ssh "$host" "$command" 2>&1 || return
        command=''
        case $line in
        here#*|there#*) host=${line%%#*} command=${line#*# } && printf '%s\n' "$line" ;;
        esac
    done
}

@test "README: the session prints this output" {
    # Replaces scp: all hosts of the test have the same file system.
    printf '#!/bin/sh\nexec cp "$2" "$hosts/home/${3%%:}"\n' >"$hosts/bin/scp"
    chmod +x "$hosts/bin/scp"
    overlay "$PWD/web"
    mkdir -p /srv/data
    spec-gen --new --rootfs "$PWD/web/rootfs" --read-only=false --tty=false \
        -v /srv/data:/data -- /app/count >web/config.json
    start runc "$PWD/web" web
    # The overlays of the hosts need different upper directories, and a home directory per host.
    echo "export hosts=$hosts IMAGE=$image" >"$hosts/profile"
    ssh there 'mkdir -p /srv/data upper work rootfs'
    sed -n '/^```console$/,/^```$/{/^```/d;p}' "$source_dir/README.md" >session
    [ "$(wc -l <session)" -gt 10 ]
    session session >printed || { cat printed; false; }
    # The numbers of the counter differ, but it must count on.
    diff <(sed -E 's/^[0-9]+$/N/' session) <(sed -E 's/^[0-9]+$/N/' printed)
    mapfile -t counted < <(grep -xE '[0-9]+' printed)
    [ "${counted[1]}" -gt "${counted[0]}" ]
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

# These test files run in the same run as this one.
@test "docs/losses.md: the tests of losses exist" {
    mkdir -p tests/pipelines
    printf '#!/bin/sh\ncd "%s" && ls "$@" && exec bats --count "$@"\n' "$source_dir" >tests/pipelines/run
    chmod +x tests/pipelines/run
    follow docs/losses.md '067-podman-alone.bats'
}

# "make dist-check" installs the files of a release on Debian.
@test "README: the files of a release have the names that make dist gives them" {
    for program in tar apt podman; do
        printf '#!/bin/sh\necho %s "$@" >>"%s/installed"\n' $program "$PWD" >"$hosts/bin/$program"
        chmod +x "$hosts/bin/$program"
    done
    follow README.md 'ckpt-tools-0.1.0-amd64.tar.gz'
    rm "$hosts"/bin/{tar,apt,podman}
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$source_dir/Cargo.toml" | head -n 1)
    grep -x "tar .*ckpt-tools-$version-amd64.tar.gz" installed
    grep -x "apt install ./ckpt-tools_$version-1_amd64.deb" installed
    grep -x "podman load -i ckpt-tools-$version-amd64.oci.tar" installed
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
    follow_there docs/migration.md 'ip netns add web'
}

# bats test_tags=tcp
@test "docs/migration.md: a container moves through one pipe" {
    migration_is_prepared
    before=$(counted "$B/rootfs")
    follow docs/migration.md 'migrate_out web'
    there=/proc/$(cat "$hosts/there")/root
    counted_past "$there/srv/web/rootfs/tmp/counter" "$before"
    [ "$(ssh there runc exec web cat /app/settings /app/cache/new)" = $'changed\nfresh' ]
}

# bats test_tags=tcp
@test "docs/migration.md: the old host continues after a failure" {
    migration_is_prepared
    run ! bash -o pipefail -c "source $hosts/profile; migrate_out web /run/web web | { head -c 20000 >/dev/null; false; }"
    before=$(counted "$B/rootfs")
    follow docs/migration.md 'runc restore -d --tcp-established --bundle /run/web '
    counted_past "$B/rootfs/tmp/counter" "$before"
}

@test "README: the picture is up to date and has all tools" {
    "$source_dir/docs/draw" "$source_dir/docs/pipeline.txt" | cmp - "$source_dir/docs/pipeline.svg"
    for tool in spec-gen rootfs-diff vol-archive netstatus ckpt-pack ckpt-unpack; do
        grep -q ">$tool" "$source_dir/docs/pipeline.svg"
    done
}

@test "README: it is short" {
    [ "$(wc -l <"$source_dir/README.md")" -le 180 ]
}

@test "README: all files that it mentions exist" {
    local name
    for name in $(grep -oE '`(docs|tests|man)/[^` ]*`|\]\([^)]*\)' "$source_dir/README.md" | tr -d '`()]' | grep -v ^https:); do
        [ -e "$source_dir/$name" ] || { echo "$name"; false; }
    done
}

@test "every code block was run" {
    [ -n "${NEWER_CRIU+known}" ] || not_run "docs/migration.md needs a CRIU that dumps TCP sockets"
    # tests/pipelines/057-migrate.bats runs these blocks.
    all_followed 'migrate --' 'mkdir -p /run/web/{upper'
}
