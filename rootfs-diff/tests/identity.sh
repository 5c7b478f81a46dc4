# Functions for the cases of identity.rs. Each case runs in an empty directory, $D.
set -eu

# Creates the lower directories l and l2, the upper directory u, the work directory w, the mount point m.
layers() {
    mkdir -p l/etc/deep l2/etc u w m
    echo a > l/a; echo b > l/etc/b; echo c > l/etc/deep/c
    echo z > l2/z; echo y > l2/etc/y; echo b2 > l2/etc/b
    find l l2 u -depth -exec touch -h -d @1000000000.5 {} +
}

# overlay OPTIONS [MOUNTPOINT]
overlay() { mount -t overlay overlay -o "$1" "${2:-m}"; }

# Mounts an overlay over l alone, and over l and l2.
one() { layers; overlay "lowerdir=$D/l,upperdir=$D/u,workdir=$D/w"; }
two() { layers; overlay "lowerdir=$D/l:$D/l2,upperdir=$D/u,workdir=$D/w"; }

# Changes the overlay at ${1:-m}: adds a file, and deletes files of each lower layer.
change() {
    local m=${1:-m}
    echo n > "$m/n"; rm "$m/a" "$m/etc/b"
    if [ -e "$m/z" ]; then rm "$m/z" "$m/etc/y"; fi
}

# Python functions for system calls that mount(8) does not support.
PY='
import ctypes, os, struct, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def call(*args):
    result = libc.syscall(*args)
    if result < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(args))
    return result
def mount(source, target, kind, flags=0, data=b""):
    if libc.mount(source, target, kind, flags, data): raise OSError(ctypes.get_errno(), "mount", target)
# Mounts an overlay by fsconfig(2), which does not split the values and needs no escapes.
def overlay(options, target=b"m"):
    fs = call(430, b"overlay", 0)
    for key, value in options: call(431, fs, 1, key, value, 0)
    call(431, fs, 6, None, None, 0)
    call(429, call(432, fs, 0, 0), b"", -100, target, 4)
# Mounts `source` at `target` with an ID map in the format of user_namespaces(7).
def idmap(source, target, ids="0 100000 65536"):
    p = subprocess.Popen(["unshare", "-U", "sleep", "60"], stdout=subprocess.DEVNULL)
    while os.readlink(f"/proc/{p.pid}/ns/user") == os.readlink("/proc/self/ns/user"): time.sleep(0.01)
    for f in ("uid_map", "gid_map"): open(f"/proc/{p.pid}/{f}", "w").write(ids + "\n")
    ns = os.open(f"/proc/{p.pid}/ns/user", os.O_RDONLY)
    tree = call(428, -100, source, 1 | 0x80000)
    attr = struct.pack("QQQQ", 0x100000, 0, 0, ns)
    call(442, tree, b"", 0x1000, attr, len(attr))
    call(429, tree, b"", -100, target, 4)
    p.kill(); p.wait()
'

py() { python3 -c "$PY$1"; }

# Starts a Python program that runs until the test ends, and waits until it is ready.
background() {
    python3 -c "$PY
ready = os.open('.', 0)
$1
open('ready', 'w', opener=lambda name, flags: os.open(name, flags, dir_fd=ready))
time.sleep(600)" > /dev/null 2>&1 < /dev/null &
    echo $! >> pids
    for _ in $(seq 500); do [ ! -e ready ] || return 0; sleep 0.02; done
    return 1
}
