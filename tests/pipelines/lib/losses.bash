# Changes of files that a checkpoint must preserve. 065 tests them with these tools, 067 with podman
# alone.

# add_fixtures: adds files to the image that change modifies. On usual hosts, /srv is a directory.
add_fixtures() {
    mkdir -p "$image"/fix/{dir,empty,mode,shut,was-dir,was-dir-too,links,renamed/deep,deep/er/est} "$image/data"
    echo 'from the image' | tee "$image"/fix/{file,replaced,was-file,chmod,noted} \
        "$image"/fix/{dir,empty,was-dir,was-dir-too,renamed/deep,deep/er/est}/old \
        "$image"/fix/links/{one,target} "$image/data/from-image" "$image"/etc/{hosts,hostname,resolv.conf} >/dev/null
    rmdir "$image/srv"
    echo 'from the image' >"$image/srv"
    ln "$image/fix/links/one" "$image/fix/links/two"
    ln -s dir "$image/fix/was-link"
    printf 'gone' >"$image/fix/"$'not-utf8-\xff'
    mkdir "$image"/fix/{times,parent} && touch -d '2001-02-03 04:05:06.123456789Z' "$image/fix/times"
}

# change ROOTFS VOLUME SHM: makes changes that podman alone does not preserve.
change() (
    cd "$1/fix"
    echo changed >file
    echo other >.temporary && mv .temporary replaced
    echo changed >../srv
    rm -r dir && mkdir dir && echo new >dir/new
    rm -r empty && mkdir empty
    rm -r was-dir && echo 'a file' >was-dir
    rm -r was-dir-too && ln -s dir was-dir-too
    rm was-file && mkdir was-file && echo inside >was-file/x
    rm was-link && mkdir was-link && echo inside >was-link/x
    # chown clears the setuid bit, so it comes first.
    chown 1000:1001 chmod && chmod 4750 chmod
    chmod 1770 mode
    chown 1234:1235 shut
    rm $'not-utf8-\xff'
    echo changed >links/one
    ln links/target links/new
    mv renamed moved
    rm -r deep/er
    mkdir -p ../run/app && echo x >../run/app/pid
    mkdir new
    echo x >new/acl && setfacl -m u:1000:rw new/acl
    setfacl -d -m u:1000:rwx new
    echo x >new/trusted && setfattr -n trusted.note -v value new/trusted
    echo x >new/user && setfattr -n user.note -v value new/user
    setfattr -n user.note -v value noted
    echo x >new/capable && setcap cap_net_bind_service+ep new/capable
    mknod new/null c 1 3 && mkfifo new/fifo && echo x >"new/$(printf '%0255d' 1)" && echo x >new/$'added-\xff'
    truncate -s 256M new/sparse && printf data | dd of=new/sparse bs=1 seek=100M conv=notrunc status=none
    touch -d '2002-03-04 05:06:07.987654321Z' new/time
    touch -d '1960-01-02 03:04:05.5Z' new/old
    touch -d '2003-04-05 06:07:08.000000009Z' times
    echo x >parent/new && touch -d '2004-05-06 07:08:09.25Z' parent
    echo changed | tee ../etc/{hosts,hostname,resolv.conf} >/dev/null
    chmod 0751 ..
    rm -f "$2/from-image"
    chmod 1777 "$2" && chown 1000:1001 "$2"
    for dir in "$2" "$3"; do
        truncate -s 32M "$dir/sparse" && printf data | dd of="$dir/sparse" bs=1 seek=10M conv=notrunc status=none
        echo x >"$dir/trusted" && setfattr -n trusted.note -v value "$dir/trusted"
    done
    mkfifo "$3/fifo"
)
