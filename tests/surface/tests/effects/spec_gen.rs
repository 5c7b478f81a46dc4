//! The flags of `spec-gen`.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use crate::{Action, Row, check, data, make};

const SPEC_GEN: &[Action] = &[
    ("new", "--new --rootfs rootfs --root-path /r"),
    ("image", "--image-config image.json --rootfs rootfs --root-path /r"),
    ("container", "--container config.dump --rootfs rootfs --root-path /r --volume-root dir"),
    ("diff", "--new --rootfs rootfs --root-path /r --diff"),
    ("explain", "--new --rootfs rootfs --root-path /r --explain"),
    ("restore", "--restore --rootfs rootfs --root-path /r -v /s:/data < restore.json"),
];

const CREATE: &str = "new image container diff explain";
const EACH: &str = "new image container diff explain restore";
/// The effect depends on the input, on the environment, or on the host.
const HIDDEN: &str = "~new ~image ~container ~diff ~explain ~restore";
const HIDDEN_CREATE: &str = "~new ~image ~container ~diff ~explain";

const SPEC_GEN_FLAGS: &[Row] = &[
    ("--state state", EACH),
    ("--rootfs rootfs", ""),
    ("--root-path /r", ""),
    ("--id other", "~new ~image container ~diff ~explain restore"),
    ("--rootless", HIDDEN_CREATE),
    ("--oci-version 1.2.0", "new image ~container diff explain restore"),
    ("--user 7", CREATE),
    ("--group-add wheel", CREATE),
    ("--hostuser root", HIDDEN_CREATE),
    ("--passwd-entry x:y:z", "~new image container ~diff ~explain"),
    ("--group-entry x", "~new image container ~diff ~explain"),
    ("--passwd", HIDDEN_CREATE),
    ("--passwd-out out", HIDDEN_CREATE),
    ("--env A=b", CREATE),
    ("--env-file env", CREATE),
    ("--env-host", HIDDEN_CREATE),
    ("--http-proxy", HIDDEN_CREATE),
    ("--env-merge PATH=${PATH}:/x", CREATE),
    ("--unsetenv PATH", CREATE),
    ("--unsetenv-all", CREATE),
    ("--secret-env S=text", CREATE),
    ("--listen-fds", HIDDEN_CREATE),
    ("--entrypoint x", CREATE),
    ("--init", HIDDEN_CREATE),
    ("--init-path /bin/sh", CREATE),
    ("--workdir /tmp", CREATE),
    ("--check-cwd off", HIDDEN_CREATE),
    ("--tty", "~new ~image container ~diff ~explain"),
    ("--console-size 80x24", CREATE),
    ("--umask 077", CREATE),
    ("--personality LINUX32", CREATE),
    ("--volume /srv:/data", EACH),
    ("--mount type=tmpfs,destination=/t", CREATE),
    ("--tmpfs /t", CREATE),
    ("--read-only", CREATE),
    ("--read-only-tmpfs", "new image ~container diff explain"),
    ("--bind-mount /etc/hosts=text", EACH),
    ("--shm-dir dir", EACH),
    ("--shm-size 1m", CREATE),
    ("--volume-path x=dir", HIDDEN),
    ("--volume-root dir", "~new ~image ~diff ~explain ~restore"),
    ("--image-mount x=dir", HIDDEN_CREATE),
    ("--overlay-dir dir", HIDDEN_CREATE),
    ("--mount-remove /proc", EACH),
    ("--mount-remove-all", CREATE),
    ("--rootfs-propagation slave", CREATE),
    ("--tz local", HIDDEN_CREATE),
    ("--secret s --secret-root dir", CREATE),
    ("--secret-root dir", HIDDEN_CREATE),
    ("--secret-copies dir", HIDDEN_CREATE),
    ("--chrootdirs /x", HIDDEN_CREATE),
    ("--no-hosts", HIDDEN_CREATE),
    ("--no-hostname", HIDDEN_CREATE),
    ("--sdnotify container", "~new ~image container ~diff ~explain"),
    ("--image-volume ignore", "image"),
    ("--volumes-from config.dump", CREATE),
    ("--timeout 3", CREATE),
    ("--hostname h", CREATE),
    ("--domainname d", CREATE),
    ("--network host", EACH),
    ("--pid host", EACH),
    ("--ipc host", EACH),
    ("--uts host", EACH),
    ("--userns host", HIDDEN),
    ("--cgroupns host", "~new ~image ~container ~diff ~explain restore"),
    ("--time private", EACH),
    ("--uidmap 0:1000:10", CREATE),
    ("--gidmap 0:1000:10", CREATE),
    ("--subuidname root", HIDDEN_CREATE),
    ("--subgidname root", HIDDEN_CREATE),
    ("--container-pid a=1", HIDDEN),
    ("--privileged", CREATE),
    ("--cap-add SYS_ADMIN", CREATE),
    ("--cap-drop ALL", CREATE),
    ("--no-new-privileges", "~new ~image container ~diff ~explain"),
    ("--seccomp seccomp.json", CREATE),
    ("--apparmor x", HIDDEN),
    ("--check-host", HIDDEN),
    ("--selinux-label a:b:c:s0", EACH),
    ("--mount-label a:b:c:s0", EACH),
    ("--mask /x", CREATE),
    ("--unmask ALL", CREATE),
    ("--security-opt no-new-privileges", "~new ~image container ~diff ~explain"),
    ("--device /dev/fuse", HIDDEN),
    ("--gpus all", HIDDEN_CREATE),
    ("--device-cgroup-rule c\t1:3\tr", CREATE),
    ("--cdi-spec-dir cdi", HIDDEN_CREATE),
    ("--memory 1g", EACH),
    ("--memory-reservation 1g", EACH),
    ("--memory-swappiness 5", EACH),
    ("--oom-kill-disable", EACH),
    ("--oom-score-adj 5", EACH),
    ("--cpus 2", EACH),
    ("--cpu-shares 5", EACH),
    ("--cpu-period 5000", EACH),
    ("--cpu-quota 5000", EACH),
    ("--cpu-rt-period 5000", EACH),
    ("--cpu-rt-runtime 5000", EACH),
    ("--cpuset-cpus 0", EACH),
    ("--cpuset-mems 0", EACH),
    ("--pids-limit 5", EACH),
    ("--blkio-weight 10", EACH),
    ("--blkio-weight-device /dev/null:10", EACH),
    ("--device-read-bps /dev/null:10", EACH),
    ("--device-write-bps /dev/null:10", EACH),
    ("--device-read-iops /dev/null:10", EACH),
    ("--device-write-iops /dev/null:10", EACH),
    ("--hugetlb 2MB=64m", EACH),
    ("--rdt-class x", EACH),
    ("--cgroup-conf memory.high=1", EACH),
    ("--sysctl net.core.somaxconn=9", CREATE),
    ("--ulimit nofile=5", CREATE),
    ("--default-rlimits", HIDDEN_CREATE),
    ("--cgroups-path /x", EACH),
    ("--cgroup-manager cgroupfs --id y", EACH),
    ("--cgroup-parent /x --id y", EACH),
    ("--cgroups disabled", "~new ~image container ~diff ~explain restore"),
    ("--cgroup-version 2", HIDDEN),
    ("--systemd=always", CREATE),
    ("--shm-size-systemd 1m", ""),
    ("--annotation a=c", EACH),
    ("--label a=c", EACH),
    ("--label-file label", EACH),
    ("--stop-signal 9", EACH),
    ("--stop-timeout 9", EACH),
    ("--hooks-dir hooks", CREATE),
    ("--hook prestart:/bin/true", CREATE),
    ("--no-precreate", ""),
    ("--compat podman-4.3", "~new ~image container ~diff ~explain"),
    ("--restore", ""),
    ("--manager-files mf", "~restore"),
    ("--images dir", "~restore"),
    ("--trust-archive", "restore"),
    ("--diff", "new image container restore"),
    ("--explain", "new image container restore"),
    ("--bundle dir", EACH),
    ("--force", ""),
    ("--validate", HIDDEN),
    ("--actions acts", EACH),
    ("--apply", "~new ~image ~container ~restore"),
    ("--sort-keys", "new image container diff restore"),
    ("--compact", "new image container restore"),
    ("--output new", EACH),
    ("--new", ""),
    ("--image-config image.json", ""),
    ("--container config.dump", ""),
    ("--input restore.json", "restore"),
    ("--fsync", ""),
    ("--fsync --output new", EACH),
    // Flags that depend on another flag.
    ("--force --bundle done", EACH),
    ("--no-precreate --hooks-dir hooks", HIDDEN_CREATE),
    ("--shm-size-systemd 1m --systemd=always", CREATE),
    ("--memory-swap 2g --memory 1g", EACH),
    ("--cgroup-parent /x --cgroups split", ""),
    ("--cgroup-parent /x --cgroups disabled", ""),
    ("--shm-size-systemd 1m --systemd=false", ""),
    ("--mask /x --unmask ALL", CREATE),
    ("--shm-size 1m --shm-dir dir", ""),
    ("--console-size 80x24 --tty=false", ""),
    ("--passwd-out out --passwd=false --user 7", ""),
    ("--cgroups enabled --cgroups-path /x", ""),
    ("--cgroup-manager systemd --cgroups-path /x", ""),
];

const LOOK_UP: &[Action] = &[("alice", "alice --rootfs rootfs")];

const LOOK_UP_FLAGS: &[Row] = &[
    ("--rootfs other", ""),
    ("--group-add wheel", "alice"),
    ("--output new", "alice"),
    ("--fsync", ""),
    ("--fsync --output new", "alice"),
];

/// Creates a directory with a spec of each kind, and a root file system.
fn workdir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for made in ["dir", "done", "hooks", "cdi", "rootfs/etc", "rootfs/tmp"] {
        fs::create_dir_all(at(made)).unwrap();
    }
    let archive = data("ckpt-unpack").join("g04-volumes.tar.xz");
    make(dir.path(), &format!("ckpt-unpack --bundle bundle {}", archive.display()));
    fs::rename(at("bundle/config.dump"), at("config.dump")).unwrap();
    fs::remove_dir_all(at("bundle")).unwrap();
    let image = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}, "config": {
        "Cmd": ["sh"], "Env": ["PATH=/bin"], "Volumes": {"/vol": {}}, "User": "alice", "Labels": {"a": "b"}}});
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup"].map(|kind| json!({"type": kind}));
    let spec = json!({
        "ociVersion": "1.3.0", "process": {"user": {"uid": 0, "gid": 0}, "args": ["sh"], "cwd": "/"},
        "root": {"path": "/old"}, "hostname": "c",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/data", "type": "bind", "source": "/x", "options": ["rbind"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm"},
        ],
        "linux": {
            "cgroupsPath": format!("/libpod_parent/libpod-{}", "ab".repeat(32)), "namespaces": namespaces,
            "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}],
        },
    });
    for (file, text) in [
        ("image.json", &*image.to_string()),
        ("restore.json", &*spec.to_string()),
        ("state", r#"{"bindMounts":{"/etc/hosts":"/h"},"mountpoint":"/m"}"#),
        ("seccomp.json", r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#),
        (
            "hooks/a.json",
            r#"{"version":"1.0.0","hook":{"path":"/bin/true"},"when":{"always":true},"stages":["prestart"]}"#,
        ),
        ("done/config.json", "{}"),
        ("env", "A=2"),
        ("label", "l=m"),
        ("text", "text"),
        ("dir/s", "text"),
        ("rootfs/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home:/bin/sh\n"),
        ("rootfs/etc/group", "root:x:0:\nwheel:x:10:\nalice:x:1000:\n"),
    ] {
        fs::write(at(file), text).unwrap();
    }
    dir
}

#[test]
fn flags_of_spec_gen_have_an_effect_or_are_rejected() {
    let dir = workdir();
    check(dir.path(), "spec-gen", SPEC_GEN, SPEC_GEN_FLAGS);
    check(dir.path(), "spec-gen lookup-user", LOOK_UP, LOOK_UP_FLAGS);
}
