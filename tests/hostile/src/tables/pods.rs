//! Pod archives with wrong documents, names, sizes or containers.

use std::fs;
use std::io::{self, Write};

use harness::forge::{Header, TarForge};

use crate::Ends::{Fails, Gives};
use crate::{Ends, Input, Written, input};

const ONE: &[&str] = &["--container", "a", "--bundle", "bundle"];
const ALL: &[&str] = &["--verify"];

/// Returns the archive of a container.
fn container() -> Vec<u8> {
    TarForge::new()
        .file("config.dump", r#"{"id":"x"}"#)
        .file("spec.dump", "{}")
        .file("checkpoint/inventory.img", "inventory")
        .end()
}

/// Returns a pod archive with these containers in `pod.options`, without their archives.
fn pod(containers: &str) -> TarForge {
    TarForge::new()
        .file("pod.options", format!(r#"{{"version":1,"containers":{{{containers}}}}}"#))
        .file("pod.dump", r#"{"metadata":{"name":"p"}}"#)
}

fn put(out: &mut dyn Write, tar: TarForge) -> io::Result<()> {
    out.write_all(&tar.end())
}

fn one(name: &'static str, write: Written, ends: Ends) -> Input {
    input(name, "ckpt-unpack", ONE, write, ends)
}

fn all(name: &'static str, write: Written, ends: Ends) -> Input {
    input(name, "ckpt-unpack", ALL, write, ends)
}

pub(super) fn inputs() -> Vec<Input> {
    let mut inputs = documents();
    inputs.extend(members());
    inputs.extend(containers());
    inputs
}

fn documents() -> Vec<Input> {
    vec![
        one(
            "a pod whose container has the name ..",
            |_, out| put(out, pod(r#""..":"a.tar""#).file("a.tar", container())),
            Fails("pod.options: containers: ..: expected a letter or digit"),
        ),
        one(
            "a pod whose container has a member above",
            |_, out| put(out, pod(r#""a":"../a.tar""#).file("../a.tar", container())),
            Fails("pod.options: containers: a: expected the name of a member, without directories"),
        ),
        one(
            "a pod whose container has an absolute member",
            |_, out| put(out, pod(r#""a":"/etc/passwd""#)),
            Fails("without directories"),
        ),
        all(
            "a pod whose member has escape sequences",
            |_, out| put(out, pod(r#""a":"\u001b[2J.tar""#)),
            Fails("the name of the member has control characters"),
        ),
        all(
            "a pod of 1025 containers",
            |_, out| {
                let list: Vec<_> = (0..1025).map(|n| format!(r#""c{n}":"c{n}.tar""#)).collect();
                put(out, pod(&list.join(",")))
            },
            Fails("expected 1 to 1024 containers, found 1025"),
        ),
        all(
            "pod.options with a hundred thousand containers",
            |_, out| {
                let list: Vec<_> = (0..100_000).map(|n| format!(r#""c{n}":"c{n}.tar""#)).collect();
                put(out, pod(&list.join(",")))
            },
            Fails("pod.options: expected a file of at most 1048576 bytes"),
        ),
        all(
            "pod.options of four gigabytes",
            |_, out| {
                let header = Header::new(b'0', "pod.options").size(1 << 32);
                out.write_all(&TarForge::new().header(header).cut())
            },
            Fails("pod.options: expected a file of at most 1048576 bytes"),
        ),
        all(
            "pod.options with the key containers twice",
            |_, out| {
                let text = r#"{"version":1,"containers":{"a":"a.tar"},"containers":{"b":"a.tar"}}"#;
                put(out, TarForge::new().file("pod.options", text).file("pod.dump", "{}"))
            },
            Fails("duplicate key"),
        ),
        all(
            "pod.options with half a million nested lists",
            |_, out| put(out, TarForge::new().file("pod.options", "[".repeat(500_000)).file("pod.dump", "")),
            Fails("recursion limit exceeded"),
        ),
        all(
            "a pod.dump of eight megabytes",
            |_, out| {
                let pod = TarForge::new().file("pod.options", r#"{"version":1,"containers":{"a":"a.tar"}}"#);
                put(out, pod.file("pod.dump", " ".repeat(8 << 20)).file("a.tar", container()))
            },
            Fails("pod.dump: longer than 4194304 bytes"),
        ),
        input(
            "a pod with escape sequences in its name",
            "ckpt-unpack",
            &["--show"],
            |_, out| {
                let pod = TarForge::new().file("pod.options", r#"{"version":1,"containers":{"a":"a.tar"}}"#);
                let dump = r#"{"metadata":{"name":"\u001b[2J\u0007","namespace":"\u009b2J"}}"#;
                put(out, pod.file("pod.dump", dump).file("a.tar", container()))
            },
            Gives(|run, _| !run.stdout.contains(&0x1b) && !run.stdout.contains(&7)),
        ),
    ]
}

fn members() -> Vec<Input> {
    vec![
        one(
            "a pod without its archives",
            |_, out| put(out, pod(r#""a":"a.tar""#)),
            Fails("a.tar: not in the archive"),
        ),
        one(
            "a pod without its second archive",
            |_, out| put(out, pod(r#""a":"a.tar","b":"b.tar""#).file("a.tar", container())),
            Fails("b.tar: not in the archive"),
        ),
        one(
            "a pod with an archive twice",
            |_, out| {
                let pod = pod(r#""a":"a.tar""#).file("a.tar", container());
                put(out, pod.file("./a.tar", container()))
            },
            Fails("a.tar: occurs twice in the archive"),
        ),
        one(
            "a pod whose archive is a symbolic link",
            |w, out| put(out, pod(r#""a":"a.tar""#).symlink("a.tar", w.out("victim"))),
            Fails("a.tar: not a regular file"),
        ),
        one(
            "a pod whose archive is a hard link",
            |w, out| put(out, pod(r#""a":"a.tar""#).hardlink("a.tar", w.out("victim"))),
            Fails("a.tar: not a regular file"),
        ),
        one(
            "a pod whose archive is a directory",
            |_, out| put(out, pod(r#""a":"a.tar""#).dir("a.tar").file("a.tar/config.dump", "{}")),
            Fails("a.tar: is a directory of a container"),
        ),
        all(
            "a pod with ten thousand documents",
            |_, out| {
                let pod = (0..10_000).fold(pod(r#""a":"a.tar""#), |pod, n| pod.file(format!("d{n}"), ""));
                put(out, pod.file("a.tar", container()))
            },
            Fails("more than 1024 documents of the pod"),
        ),
        all(
            "a pod with a member above",
            |_, out| put(out, pod(r#""a":"a.tar""#).file("../x", "").file("a.tar", container())),
            Fails("name with '..'"),
        ),
    ]
}

fn containers() -> Vec<Input> {
    vec![
        one(
            "a container that is longer than the pod archive",
            |_, out| {
                let header = Header::new(b'0', "a.tar").size(1 << 30);
                put(out, pod(r#""a":"a.tar""#).header(header).padded(&container()))
            },
            Fails("ends too early"),
        ),
        one(
            "a container that is shorter than its archive",
            |_, out| {
                let header = Header::new(b'0', "a.tar").size(1024);
                put(out, pod(r#""a":"a.tar""#).header(header).padded(&container()[..1024]))
            },
            Fails("a: "),
        ),
        one(
            "a pod archive inside a pod archive",
            |_, out| {
                let inner = pod(r#""a":"a.tar""#).file("a.tar", container()).end();
                put(out, pod(r#""a":"a.tar""#).file("a.tar", inner))
            },
            Fails("pod.options: a pod archive inside a pod archive"),
        ),
        one(
            "a container with ../NAME",
            |_, out| {
                let archive = TarForge::new().bytes(&container()[..3072]).file("../pwn", "pwn\n").end();
                put(out, pod(r#""a":"a.tar""#).file("a.tar", archive))
            },
            Fails("../pwn: name with '..'"),
        ),
        one(
            "a sparse container",
            |_, out| {
                let pod = pod(r#""a":"a.tar""#)
                    .pax_payload(
                        [
                            harness::forge::record("GNU.sparse.major", "1"),
                            harness::forge::record("GNU.sparse.minor", "0"),
                            harness::forge::record("GNU.sparse.realsize", "1099511627776"),
                        ]
                        .concat(),
                    )
                    .file("a.tar", [&b"0\n"[..], &[0; 510]].concat());
                put(out, pod)
            },
            Fails("a.tar: not a regular file"),
        ),
        input(
            "a pod as the archive of a container",
            "ckpt-pack",
            &["--pod-config", "pod.json", "--container", "a=-", "-o", "pod.tar"],
            |w, out| {
                fs::write(w.place().join("pod.json"), r#"{"metadata":{"name":"p"}}"#)?;
                put(out, pod(r#""a":"a.tar""#).file("a.tar", container()))
            },
            Fails("is a pod archive of the containers a"),
        ),
        input(
            "a pod.json of eight megabytes",
            "ckpt-pack",
            &["--pod-config", "-", "--container", "a=a.tar", "-o", "pod.tar"],
            |w, out| {
                fs::write(w.place().join("a.tar"), container())?;
                out.write_all(" ".repeat(8 << 20).as_bytes())
            },
            Fails("standard input: longer than 4194304 bytes"),
        ),
    ]
}
