# Leases: the directories that a run takes on the host, as files and as cgroups. Sourced by the scripts that take them.
#
# All are called ckpt-tools-run.*, and the run holds a flock(2) lock on each of them. The kernel drops a lock when its
# process dies, so a directory of that name without a lock belongs to a run that was killed, and the next run removes it.
# A PID in the name would prove less: PIDs are reused, and other PID namespaces have others.

lease_name=ckpt-tools-run
leases=()       # file descriptors of the locks
leased=()       # directories for files
leased_cgroups=()
lease_enabled=() # controllers that this run enabled for the children of the version 2 root

lease_error() {
    echo "${0##*/}: error: $*" >&2
    return 1
}

# lease_begin: removes what killed runs left. Until lease_end, no other run may take or remove a lease.
lease_begin() {
    # The directory itself is locked, since a lock file would be left behind.
    exec {lease_mutex}</var/tmp
    flock -w 300 "$lease_mutex" || lease_error "/var/tmp: another run has held its lock for five minutes"
    lease_sweep
}

lease_end() {
    exec {lease_mutex}<&-
}

# lease_lock DIR: marks DIR as in use as long as this process lives.
lease_lock() {
    local fd
    exec {fd}<"$1"
    flock -n "$fd" || lease_error "$1: already locked by another run"
    leases+=("$fd")
}

# lease_dir: creates a directory for files in /var/tmp, $leased_dir.
lease_dir() {
    leased_dir=$(mktemp -d "/var/tmp/$lease_name.XXXXXX")
    leased+=("$leased_dir")
    lease_lock "$leased_dir"
}

# lease_run CMD [ARG]...: replaces this subshell by CMD, which dies with the shell that has the leases and does not inherit
# their locks: a survivor would keep them locked.
lease_run() {
    local fd
    for fd in "${leases[@]}"; do exec {fd}<&-; done
    # A command in the background would ignore these two.
    exec env --default-signal=INT,QUIT setpriv --pdeathsig KILL "$@"
}

# lease_return: removes everything that this process has taken. Safe to call more than once.
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

# lease_is_free DIR: whether no process holds DIR's lock.
lease_is_free() {
    local fd status=0
    { exec {fd}<"$1"; } 2>/dev/null || return
    flock -n "$fd" || status=1
    exec {fd}<&-
    return $status
}

# lease_sweep: removes the leases of runs that were killed, after ending what is left of their processes.
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

# cgroup_mounts: MOUNTPOINT ROOT TYPE OPTIONS of each cgroup hierarchy below /sys/fs/cgroup.
cgroup_mounts() {
    awk '$5 ~ "^/sys/fs/cgroup(/|$)" {
        for (i = 7; $i != "-"; i++);
        if ($(i + 1) ~ /^cgroup2?$/) print $5, $4, $(i + 1), $(i + 3)
    }' /proc/self/mountinfo
}

# own_cgroup MOUNTPOINT ROOT OPTIONS: the directory of this process's cgroup in a version 1 hierarchy.
own_cgroup() {
    local mount=$1 root=${2%/} options=$3 controllers path
    while IFS=: read -r _ controllers path; do
        [[ -n $controllers && ,$options, == *,${controllers%%,*},* ]] || continue
        # Outside the mounted part, the part itself is the best there is.
        [[ $path/ == "$root"/* && -d $mount${path#"$root"} ]] || path=$root
        path=$mount${path#"$root"}
        echo "${path%/}"
        return
    done </proc/self/cgroup
    echo "$mount"
}

# lease_cgroups NAME: creates a cgroup called NAME in each hierarchy, and lists them in $leased_cgroups.
#
# In version 1 they are below the cgroup of this process, whose limits stay in force. In version 2 they are at the root of
# the mount: elsewhere a cgroup cannot have both processes and controllers for its children.
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
        # A new version 1 cpuset is empty and takes no process.
        for file in cpuset.mems cpuset.cpus; do
            if [ "$type" = cgroup ] && [ -e "$dir/$file" ]; then cat "$parent/$file" >"$dir/$file"; fi
        done
        if [ "$mount $type" = '/sys/fs/cgroup cgroup2' ]; then cgroups_enable; fi
    done < <(cgroup_mounts)
    [ ${#leased_cgroups[@]} -gt 0 ] || lease_error "/sys/fs/cgroup: no cgroup hierarchy is mounted
hint: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
}

# cgroups_enable: lets the cgroups at the root of version 2 use all controllers.
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

# cgroups_disable: takes back what cgroups_enable did, unless another run is using it.
cgroups_disable() {
    local controller
    if compgen -G "/sys/fs/cgroup/$lease_name.*" >/dev/null; then return; fi
    for controller in "${lease_enabled[@]}"; do
        { echo "-$controller" >/sys/fs/cgroup/cgroup.subtree_control; } 2>/dev/null || true
    done
}

# cgroups_remove CGROUP...: kills the processes in these cgroups and removes them with everything below.
cgroups_remove() {
    local dir left
    for _ in {1..100}; do
        left=''
        # A frozen process dies only when it is thawed, so the freezer must not be left for later.
        for dir; do cgroup_kill "$dir"; done
        for dir; do
            find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null || true
            if [ -d "$dir" ]; then left+=" $dir"; fi
        done
        [ -n "$left" ] || return 0
        # Killed processes need a moment to leave.
        sleep 0.1
    done
    lease_error "cannot remove these cgroups:$left; their processes: $(for dir in $left; do find "$dir" -name cgroup.procs -exec cat {} +; done | sort -un | paste -sd' ')"
}

# cgroup_kill CGROUP: kills all processes in CGROUP and below. Those of other PID namespaces are listed as 0.
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
