# Comparison of directory trees. Does not need bats.

# fingerprint DIR: prints all content and metadata of a tree, for a comparison with diff.
fingerprint() (
    cd "$1"
    # The size and the link count of a directory depend on the file system.
    find . -xdev -type d -printf '%P/ %y %m %U:%G %T@\n' -o \
        -printf '%P %y %m %U:%G %T@ %n %s %l\n' | LC_ALL=C sort
    find . -xdev -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum
    getfattr -R -h -d -m - . 2>/dev/null
    true
)

# same_tree A B: succeeds if both directories have the same content and metadata.
same_tree() {
    diff <(fingerprint "$1") <(fingerprint "$2")
}
