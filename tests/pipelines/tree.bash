# Comparison of directory trees; also for shells that are not bats.

# fingerprint DIR: everything a tree holds, one line per fact, for a comparison with diff.
fingerprint() (
    cd "$1"
    # The size and the link count of a directory belong to the file system it is on, not to the tree.
    find . -xdev -type d -printf '%P/ %y %m %U:%G %T@\n' -o \
        -printf '%P %y %m %U:%G %T@ %n %s %l\n' | LC_ALL=C sort
    find . -xdev -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum
    getfattr -R -h -d -m - . 2>/dev/null
    true
)

# same_tree A B: both directories hold the same.
same_tree() {
    diff <(fingerprint "$1") <(fingerprint "$2")
}
