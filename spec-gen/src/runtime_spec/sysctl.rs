//! Kernel parameters that belong to a namespace. All other parameters are global to the host, and
//! no runtime sets them for a container.

/// Returns the type of the namespace that a parameter belongs to, or `None` if it belongs to no
/// namespace.
pub fn namespace(key: &str) -> Option<&'static str> {
    const IPC: [&str; 8] =
        ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];
    // Runtimes translate dots to slashes, and the kernel accepts both.
    let key = key.replace('/', ".");
    if key.contains("..") || key.starts_with('.') || key.ends_with('.') {
        return None;
    }
    match key.split_once('.')? {
        ("net", _) => Some("network"),
        ("user", _) => Some("user"),
        ("kernel", "domainname" | "hostname") => Some("uts"),
        ("kernel", name) if IPC.contains(&name) => Some("ipc"),
        ("fs", name) if name.starts_with("mqueue.") => Some("ipc"),
        _ => None,
    }
}
