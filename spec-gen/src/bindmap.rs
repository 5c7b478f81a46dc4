//! The files a container manager makes for each container and binds over the image's.

/// Where a manager binds its files, and the name each has in its directory.
const FILES: [(&str, &str); 12] = [
    ("/dev/shm", "shm"),
    ("/etc/group", "group"),
    ("/etc/hostname", "hostname"),
    ("/etc/hosts", "hosts"),
    ("/etc/localtime", "localtime"),
    ("/etc/passwd", "passwd"),
    ("/etc/resolv.conf", "resolv.conf"),
    ("/run/.containerenv", ".containerenv"),
    ("/run/notify", "notify"),
    ("/run/secrets", "run/secrets"),
    ("/var/run/.containerenv", ".containerenv"),
    ("/var/run/secrets", "run/secrets"),
];

/// The name of the manager's file for a cleaned destination.
pub fn file_name(destination: &str) -> Option<&'static str> {
    FILES.iter().find(|(d, _)| *d == destination).map(|(_, file)| *file)
}
