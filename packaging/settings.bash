# The settings that the scripts of this directory share. To be sourced by "SCRIPT [ARCH [DIR]]", with
# the working directory at the top of the source.
#
#   ARCH            amd64 or arm64 (default: that of this machine)
#   DIR             where the file is created (default: target/dist)
#   BUILT           directory of the built programs (default: that of "make static")
#   THIRD_PARTY     output of "third-party" (default: runs it)
#   RUNNABLE        the same programs for this machine, which print the completions (default: BUILT)
#
# No file has a time, user or directory of this machine in it: the same programs result in the same
# bytes.
name=ckpt-tools
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
read -ra make <<<"${MAKE:-make}"
target=${CARGO_TARGET_DIR:-$PWD/target}
case ${1:-$(uname -m)} in
amd64 | x86_64) arch=amd64 triple=x86_64-unknown-linux-gnu ;;
arm64 | aarch64) arch=arm64 triple=aarch64-unknown-linux-gnu ;;
*) echo "$0: error: ${1:-$(uname -m)}: expected amd64 or arm64" >&2 && exit 2 ;;
esac
out=${2:-$target/dist}
built=${BUILT:-$target/$triple/release}
runnable=${RUNNABLE:-$built}
# The default is the time of the last commit.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH LC_ALL=C
umask 022

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

# install_below DIR [VARIABLE=VALUE]...: runs "make install-built" with the built programs.
install_below() {
    local dir=$1
    shift
    "${make[@]}" -s --no-print-directory install-built BUILT="$built" RUNNABLE="$runnable" DESTDIR="$dir" "$@" >&2
}

third_party() {
    if [ -n "${THIRD_PARTY:-}" ]; then cat "$THIRD_PARTY"; else packaging/third-party "$triple"; fi
}

# pack DIR [ARG]...: prints a tar of names in DIR, which are read from standard input, one per line.
pack() {
    local dir=$1
    shift
    sort | tar --directory "$dir" --format ustar --numeric-owner --owner 0 --group 0 --mtime "@$SOURCE_DATE_EPOCH" \
        --no-recursion --files-from - "$@" --create
}
