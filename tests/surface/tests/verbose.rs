//! Checks the reports of omitted files: files that the user excludes are reported only with `-v`,
//! all other files always.

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::Command;

use harness::tools::tool;

fn stderr_of(name: &str, args: &[&str]) -> String {
    let output = Command::new(tool(name)).args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn exclusions_are_reported_with_v_and_sockets_always() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    fs::create_dir(&old).unwrap();
    fs::create_dir_all(new.join("cache/deep")).unwrap();
    let _socket = UnixListener::bind(new.join("socket")).unwrap();
    let [old, new] = [old, new].map(|path| path.to_str().unwrap().to_owned());
    let calls: [(&str, String, Vec<&str>); 3] = [
        ("vol-archive", format!("{new}/"), vec!["create", "--exclude", "cache", &new]),
        (
            "rootfs-diff",
            String::new(),
            vec!["create", "--members", "--exclude", "/cache", "--from", &old, "--to", &new],
        ),
        ("rootfs-diff", String::new(), vec!["list", "--exclude", "/cache", "--from", &old, "--to", &new]),
    ];
    for (name, prefix, args) in calls {
        let socket = format!("{name}: warning: {prefix}socket: socket, not archived\n");
        let cache = format!("{name}: {prefix}cache: excluded, left out\n");
        assert_eq!(stderr_of(name, &args), socket, "{args:?}");
        assert_eq!(stderr_of(name, &[&args[..], &["-v"]].concat()), format!("{cache}{socket}"), "{args:?}");
        assert_eq!(stderr_of(name, &[&args[..], &["-q"]].concat()), "", "{args:?}");
    }
}
