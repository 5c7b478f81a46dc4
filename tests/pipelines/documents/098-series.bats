# Every code block of docs/series.md has the described result, and docs/examples/snapshot-series keeps
# a series of checkpoints.

load ../lib/helpers
load ../lib/documents

page=docs/series.md
series=/srv/series/web

setup_file() {
    build_image
    documents $page
    hosts
    mkdir -p /usr/local/bin /etc/systemd/system /etc/tmpfiles.d
    # A stand-in: the test host has no systemd.
    printf '#!/bin/sh\necho "$@" >>%s/systemctl\n' "$hosts" >"$hosts/bin/systemctl"
    chmod +x "$hosts/bin/systemctl"
}

teardown_file() {
    no_hosts
}

setup() {
    cd "$hosts/home/here"
    ln -sfn "$source_dir/docs" docs
    PATH=$hosts/bin:$hosts/tools:/usr/local/bin:$PATH
}

teardown() {
    web_is_gone
    rm -rf /run/restored*
    teardown_containers
}

@test "series.md: one chain by hand" {
    web_runs
    follow $page '--base first.ckpt --xor -o second.ckpt'
    follow $page 'ckpt-unpack --bundle restored'
    diff -r second restored/checkpoint -x stats-dump -x '*.log'
}

@test "series.md: the timer keeps chains, which are deleted by age" {
    web_runs
    follow $page 'install -t /usr/local/bin'
    [ "$(cat "$hosts/systemctl")" = 'enable --now snapshot-series@web.timer' ]
    cd /etc/systemd/system
    systemd-analyze verify --man=no ./snapshot-series@web.service ./snapshot-series@web.timer
    local command
    command=$(sed -n 's/^ExecStart=//p' snapshot-series@.service | sed 's/%i/web/g')
    # Chains are named by the second.
    for _ in 1 2 3; do CHAIN=2 $command && sleep 1; done
    local chains=("$series"/*/)
    [ "$(cd "${chains[0]}" && echo *)" = '00.ckpt 01.ckpt' ]
    [ "$(cd "${chains[1]}" && echo *)" = 00.ckpt ]
    [ "$(stat -c %s "${chains[0]}01.ckpt")" -lt "$(stat -c %s "${chains[0]}00.ckpt")" ]
    [ "$(stat -c %Y "${chains[0]}00.ckpt")" = "$(stat -c %Y "${chains[0]}01.ckpt")" ]
    # The first chain is older than a week.
    touch -d '8 days ago' "${chains[0]}"* "${chains[0]}"
    follow $page 'systemd-tmpfiles --clean'
    [ "$(ls -d "$series"/*/)" = "${chains[1]}" ]
    [ -s "${chains[1]}00.ckpt" ]
}

@test "series.md: a chain is restored, and made shorter by --flatten" {
    web_runs
    mkdir -p "$series"
    export PATH=$source_dir/docs/examples:$PATH
    local chain=$series/2026-12-01T08:00:00Z/
    mkdir "$chain"
    for _ in {0..8}; do snapshot-series web "$B" "$series"; done
    [ "$(cd "$chain" && echo 0[0-8].ckpt)" = "$(cd "$chain" && echo *)" ]
    overlay /run/restored-fs
    ln -s restored-fs/rootfs /run/restored-rootfs
    follow $page '--bundle /run/restored'
    before=$(counted /run/restored-rootfs)
    counted_past "$B/rootfs/tmp/counter" "$before"
    cd "$chain"
    follow $page '07.full'
    [ "$(echo *)" = '07.ckpt 08.ckpt' ]
    ckpt-unpack --verify --base 07.ckpt 08.ckpt
    # The series continues after the last checkpoint, and replaces none.
    snapshot-series web "$B" "$series"
    [ "$(echo *)" = '07.ckpt 08.ckpt 09.ckpt' ]
    ckpt-unpack --verify --base 07.ckpt --base 08.ckpt 09.ckpt
    umount /run/restored-fs/rootfs
    rm -r /run/restored-fs
}

@test "snapshot-series: after a failure, the series remains as it was" {
    web_runs
    export PATH=$source_dir/docs/examples:$PATH
    snapshot-series web "$B" "$series"
    run ! snapshot-series web "$B" "$series" data=/srv/missing
    [ "$(runc state web | jq -r .status)" = running ]
    [ "$(cd "$series"/* && echo *)" = 00.ckpt ]
    snapshot-series web "$B" "$series"
    [ "$(cd "$series"/* && echo *)" = '00.ckpt 01.ckpt' ]
}

@test "series.md: no code block is untested" {
    all_followed
}
