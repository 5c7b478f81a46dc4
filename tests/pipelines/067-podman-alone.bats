# Reproduces podman's column in the README's table of losses: podman 5.4 exports and imports a
# container without these tools. A newer podman that loses less does not fail these tests. The
# output then shows which rows of the table to correct. For the tools' column see 065 and 066.

load lib/helpers
load lib/podman
load lib/losses

setup_file() {
    build_image
    add_fixtures
    setup_podman
}

teardown() {
    teardown_podman
}

# runs CHANGE: starts podman's container web, and runs CHANGE on its root file system and volume.
# Its program only counts.
runs() {
    podman_ run -d --name web --network none -v data:/data localhost/image /bin/sh -c \
        'i=0; while :; do i=$((i + 1)); echo $i 1<>/tmp/counter; sleep 0.1; done'
    root=$(podman_ mount web)
    volume=$(podman_ volume inspect --format '{{.Mountpoint}}' data)
    "$@"
}

# Makes all changes with which podman's export succeeds.
most_changes() {
    local mode
    mode=$(stat -c %a "$root")
    mkdir "$BATS_TEST_TMPDIR/shm"
    change "$root" "$volume" "$BATS_TEST_TMPDIR/shm"
    rm -r "$root"/fix/was-{file,link}
    echo x >"$root/fix/was-file"
    chmod "$mode" "$root"
}

# row WHAT CHECK...: prints one row of the table. CHECK succeeds if podman has preserved the change.
row() {
    local what=$1 kept=lost
    shift
    if (cd "$root/fix" && "$@") >/dev/null 2>&1; then
        kept=kept
    else
        lost=$((lost + 1))
    fi
    rows=$((rows + 1))
    printf '# | %s | %s |\n' "$what" "$kept" >&3
}

is() {
    [ "$1" = "$2" ]
}

# says FILE TEXT: succeeds if FILE has the content TEXT.
# has FORMAT VALUE FILE: succeeds if stat prints VALUE for FORMAT.
says() { is "$(cat "$1")" "$2"; }
has() { is "$(stat -c "$1" "$3")" "$2"; }

acl_is_kept() { getfacl -p new/acl | grep -x 'user:1000:rw-'; }
link_is_kept() { [ new/link -ef links/target ] || [ links/new -ef links/target ]; }

# table: prints which changes of most_changes are preserved.
table() {
    rows=0 lost=0
    row 'a changed file whose path does not exist on the host' says file changed
    row 'a file replaced by rename' says replaced other
    row 'a changed file whose path is a directory on the host' says ../srv changed
    row 'a new file in a directory that was removed and made again' says dir/new new
    row 'a directory replaced by a file' test -f was-dir
    row 'a directory replaced by a link' test -h was-dir-too
    row 'mode of a directory' has %a 1770 mode
    row 'owner of a directory' has %u:%g 1234:1235 shut
    row 'an ACL' acl_is_kept
    row 'a trusted.* attribute' getfattr -n trusted.note new/trusted
    row 'nanoseconds' has %.9Y "$(date -d '2002-03-04 05:06:07.987654321Z' +%s.%N)" new/time
    row 'a hard link to a file of the image' link_is_kept
    row 'a deletion whose name is not UTF-8' test ! -e $'not-utf8-\xff'
    row 'an edit of /etc/hosts' says ../etc/hosts changed
    row 'a deletion in the volume of a file of the image' test ! -e "$volume/from-image"
    row "mode and owner of the volume's directory" has '%a %u:%g' '1777 1000:1001' "$volume"
}

@test "podman alone loses all changes in the table" {
    runs most_changes
    # Before the checkpoint, the container has all changes.
    table 3>/dev/null
    [ "$lost" = 0 ]
    podman_ container checkpoint --export web.tar web
    podman_ rm -f web
    podman_ volume rm -f data
    podman_ container restore --import web.tar
    rm web.tar
    root=$(podman_ mount web)
    volume=$(podman_ volume inspect --format '{{.Mountpoint}}' data)
    podman --version | sed 's/^/# /' >&3
    table
    case $(podman --version) in
    *" 5.4."*) [ "$lost" = "$rows" ] ;;
    *) [ "$rows" = 16 ] ;;
    esac
}

@test "podman alone cannot export a file replaced by a directory" {
    replaced() { rm "$root/fix/was-file" && mkdir "$root/fix/was-file" && echo inside >"$root/fix/was-file/x"; }
    runs replaced
    run podman_ container checkpoint --export web.tar web
    echo "# | a file replaced by a directory | $([ "$status" = 0 ] && echo kept || echo "the export fails: ${output##*: }") |" >&3
    [ "$(podman_ inspect --format '{{.State.Running}}' web)" = false ]
}

@test "podman alone cannot restore a changed mode of the root" {
    closed() { chmod 0751 "$root"; }
    runs closed
    podman_ container checkpoint --export web.tar web
    podman_ rm -f web
    podman_ volume rm -f data
    run podman_ container restore --import web.tar
    rm web.tar
    echo "# | mode of the root directory | $([ "$status" = 0 ] && echo kept || echo "the restore fails") |" >&3
}
