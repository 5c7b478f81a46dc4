# Leases: temporary directories and cgroups of a test run, which are removed even after the run is
# killed. To be sourced.
#
# Their names are ckpt-tools-run.*, and the run holds a flock(2) lock on each directory. The kernel
# releases a lock when its process ends, so a directory of that name without a lock belongs to a run
# that was killed, and the next run removes the directory. A PID in the name would not suffice: PIDs
# are reused, and each PID namespace has its own PIDs.

lease_name=ckpt-tools-run
leases=()         # file descriptors of the locks
leased=()         # temporary directories
leased_cgroups=()
lease_enabled=()  # controllers that this run enabled for the children of the version 2 root

lease_error() {
    echo "${0##*/}: error: $*" >&2
    return 1
}

# lease_begin: removes leases of killed runs. Until lease_end, other runs cannot take or remove
# leases.
lease_begin() {
    # Locks the directory itself, because a lock file would remain.
    exec {lease_mutex}</var/tmp
    flock -w 300 "$lease_mutex" || lease_error "/var/tmp: another run has held its lock for five minutes"
    lease_sweep
}

lease_end() {
    exec {lease_mutex}<&-
}

# lease_lock DIR: locks DIR until this process ends.
lease_lock() {
    local fd
    exec {fd}<"$1"
    flock -n "$fd" || lease_error "$1: already locked by another run"
    leases+=("$fd")
}

# lease_dir: creates a temporary directory in /var/tmp and sets $leased_dir.
lease_dir() {
    leased_dir=$(mktemp -d "/var/tmp/$lease_name.XXXXXX")
    leased+=("$leased_dir")
    lease_lock "$leased_dir"
}

# lease_run CMD [ARG]...: replaces this subshell by CMD, which is killed when the shell with the
# leases ends. CMD does not inherit the locks: a surviving process would keep them.
lease_run() {
    local fd
    for fd in "${leases[@]}"; do exec {fd}<&-; done
    # The shell ignores these two signals for commands in the background.
    exec env --default-signal=INT,QUIT setpriv --pdeathsig KILL "$@"
}

# lease_return: removes all leases of this process. Safe to call more than once.
lease_return() {
    local status=0
    if [ ${#leased_cgroups[@]} -gt 0 ]; then
        cgroups_remove "${leased_cgroups[@]}" || status=1
        cgroups_disable
        leased_cgroups=()
    fi
    if [ ${#leased[@]} -gt 0 ]; then
        rm -rf --one-file-system "${leased[@]}" || status=1
        leased=()
    fi
    return $status
}

# lease_is_free DIR: succeeds if no process holds the lock of DIR.
lease_is_free() {
    local fd status=0
    { exec {fd}<"$1"; } 2>/dev/null || return
    flock -n "$fd" || status=1
    exec {fd}<&-
    return $status
}

# lease_sweep: removes the leases of killed runs, and kills their remaining processes.
lease_sweep() {
    local dir stale=()
    while read -r dir; do
        if lease_is_free "$dir"; then stale+=("$dir"); fi
    done < <(find /sys/fs/cgroup -type d -name "$lease_name.*" -prune 2>/dev/null)
    if [ ${#stale[@]} -gt 0 ]; then cgroups_remove "${stale[@]}"; fi
    for dir in "/var/tmp/$lease_name".*; do
        if lease_is_free "$dir"; then rm -rf --one-file-system "$dir"; fi
    done
}

# cgroup_mounts: prints MOUNTPOINT ROOT TYPE OPTIONS of each cgroup hierarchy below /sys/fs/cgroup.
cgroup_mounts() {
    awk '$5 ~ "^/sys/fs/cgroup(/|$)" {
        for (i = 7; $i != "-"; i++);
        if ($(i + 1) ~ /^cgroup2?$/) print $5, $4, $(i + 1), $(i + 3)
    }' /proc/self/mountinfo
}

# own_cgroup MOUNTPOINT ROOT OPTIONS: prints the directory of this process's cgroup in a version 1
# hierarchy.
own_cgroup() {
    local mount=$1 root=${2%/} options=$3 controllers path
    while IFS=: read -r _ controllers path; do
        [[ -n $controllers && ,$options, == *,${controllers%%,*},* ]] || continue
        # If the cgroup is outside of the mounted part, uses the root of the mount instead.
        [[ $path/ == "$root"/* && -d $mount${path#"$root"} ]] || path=$root
        path=$mount${path#"$root"}
        echo "${path%/}"
        return
    done </proc/self/cgroup
    echo "$mount"
}

# lease_cgroups NAME: creates a cgroup NAME in each hierarchy, and adds them to $leased_cgroups.
#
# In version 1, they are below the cgroup of this process, so that its limits apply. In version 2,
# they are at the root of the mount: only the root can have both processes and controllers for its
# children.
lease_cgroups() {
    local mount root type options parent dir file why
    while read -r mount root type options; do
        case $type in
        cgroup) parent=$(own_cgroup "$mount" "$root" "$options") ;;
        cgroup2) parent=$mount ;;
        esac
        dir=$parent/$1
        if ! why=$(mkdir "$dir" 2>&1); then
            lease_error "$parent: cannot create a cgroup: ${why##*: }
hint: in a container, make cgroups writable: docker run --privileged --cgroupns private" || return
        fi
        leased_cgroups+=("$dir")
        lease_lock "$dir" || return
        # A new version 1 cpuset has no CPUs and rejects processes.
        for file in cpuset.mems cpuset.cpus; do
            if [ "$type" = cgroup ] && [ -e "$dir/$file" ]; then cat "$parent/$file" >"$dir/$file"; fi
        done
        if [ "$mount $type" = '/sys/fs/cgroup cgroup2' ]; then cgroups_enable; fi
    done < <(cgroup_mounts)
    [ ${#leased_cgroups[@]} -gt 0 ] || lease_error "/sys/fs/cgroup: no cgroup hierarchy is mounted
hint: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
}

# cgroups_enable: enables all controllers for the children of the version 2 root.
cgroups_enable() {
    local root=/sys/fs/cgroup controller
    for controller in $(<$root/cgroup.controllers); do
        if [[ " $(<$root/cgroup.subtree_control) " == *" $controller "* ]]; then continue; fi
        if { echo "+$controller" >$root/cgroup.subtree_control; } 2>/dev/null; then
            lease_enabled+=("$controller")
        else
            echo "${0##*/}: warning: $root: controller $controller cannot be enabled for children: tests with such limits will fail" >&2
        fi
    done
}

# cgroups_disable: disables the controllers that cgroups_enable has enabled, unless another run uses
# them.
cgroups_disable() {
    local controller
    if compgen -G "/sys/fs/cgroup/$lease_name.*" >/dev/null; then return; fi
    for controller in "${lease_enabled[@]}"; do
        { echo "-$controller" >/sys/fs/cgroup/cgroup.subtree_control; } 2>/dev/null || true
    done
}

# cgroups_remove CGROUP...: kills the processes in these cgroups, and removes the cgroups and their
# children.
cgroups_remove() {
    local dir left
    for _ in {1..100}; do
        left=''
        # A frozen process ends only after it is thawed, so all hierarchies, including the freezer,
        # are handled each time.
        for dir; do cgroup_kill "$dir"; done
        for dir; do
            find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null || true
            if [ -d "$dir" ]; then left+=" $dir"; fi
        done
        [ -n "$left" ] || return 0
        # A cgroup is busy until its killed processes have ended.
        sleep 0.1
    done
    lease_error "cannot remove these cgroups:$left; their processes: $(for dir in $left; do find "$dir" -name cgroup.procs -exec cat {} +; done | sort -un | paste -sd' ')"
}

# cgroup_kill CGROUP: kills all processes in CGROUP and below. The kernel lists processes of other
# PID namespaces as 0.
cgroup_kill() {
    local file pid
    while read -r file; do
        case $file in
        */cgroup.kill) echo 1 >"$file" ;;
        */freezer.state) echo THAWED >"$file" ;;
        */cgroup.procs) while read -r pid; do [ "$pid" = 0 ] || kill -KILL "$pid"; done <"$file" ;;
        esac
    done < <(find "$1" \( -name cgroup.kill -o -name freezer.state -o -name cgroup.procs \) 2>/dev/null) 2>/dev/null || true
}
