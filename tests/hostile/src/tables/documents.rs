//! JSON documents from other machines, and root file systems that spec-gen reads.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::symlink;

use crate::Ends::{Done, Fails, Gives};
use crate::world::World;
use crate::{Input, Written, input};

const RESTORE: &[&str] = &["--restore", "--rootfs", "root"];
const USER: &[&str] = &["--rootfs", "root", "--user", "alice"];

fn put(out: &mut dyn Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())
}

/// Writes a runtime specification with the mandatory keys and `keys`.
fn spec(out: &mut dyn Write, keys: &str) -> io::Result<()> {
    put(
        out,
        &format!(
            r#"{{"ociVersion":"1.2.0","process":{{"user":{{"uid":0,"gid":0}},"args":["sh"],"cwd":"/"}},"root":{{"path":"rootfs"}}{keys}}}"#
        ),
    )
}

/// Writes a network status with one interface.
fn network(out: &mut dyn Write, network: &str, interface: &str, address: &str, mac: &str) -> io::Result<()> {
    put(
        out,
        &format!(
            r#"{{"{network}":{{"interfaces":{{"{interface}":{{"mac_address":"{mac}","subnets":[{{"ipnet":"{address}","gateway":"10.88.0.1"}}]}}}}}}}}"#
        ),
    )
}

const MAC: &str = "92:d0:c6:0a:29:33";

pub(super) fn inputs() -> Vec<Input> {
    let mut inputs = specs();
    inputs.extend(restored());
    inputs.extend(accounts());
    inputs.extend(networks());
    inputs
}

fn specs() -> Vec<Input> {
    let generate = |name, write: Written, ends| input(name, "spec-gen", &[], write, ends);
    vec![
        generate("an empty specification", |_, _| Ok(()), Fails("is empty, expected JSON")),
        generate("a specification that is text", |_, out| put(out, "runc spec"), Fails("not valid JSON")),
        generate("a number instead of a specification", |_, out| put(out, "1"), Fails("expected")),
        generate(
            "a specification with a key twice",
            |_, out| spec(out, r#","hostname":"a","hostname":"b""#),
            Fails("duplicate key \"hostname\""),
        ),
        generate(
            "a million nested lists",
            |_, out| put(out, &"[".repeat(1_000_000)),
            Fails("recursion limit exceeded"),
        ),
        generate(
            "a hundred thousand nested objects",
            |_, out| put(out, &r#"{"a":"#.repeat(100_000)),
            Fails("recursion limit exceeded"),
        ),
        generate(
            "two specifications",
            |_, out| {
                spec(out, "")?;
                spec(out, "")
            },
            Fails("trailing characters"),
        ),
        generate(
            "a host name with a lone surrogate",
            |_, out| spec(out, r#","hostname":"\udc00""#),
            Fails("not valid JSON"),
        ),
        generate("a number out of range", |_, out| spec(out, r#","x":1e999"#), Fails("number out of range")),
        generate("mounts that are a string", |_, out| spec(out, r#","mounts":"/""#), Fails("mounts")),
        generate(
            "arguments that are numbers",
            |_, out| {
                put(out, r#"{"ociVersion":"1.2.0","process":{"args":[1,2],"cwd":"/"},"root":{"path":"x"}}"#)
            },
            Fails("process.args"),
        ),
        generate(
            "a negative user ID",
            |_, out| {
                put(
                    out,
                    r#"{"ociVersion":"1.2.0","process":{"args":["x"],"cwd":"/","user":{"uid":-1,"gid":0}},"root":{"path":"x"}}"#,
                )
            },
            Fails("uid"),
        ),
        generate(
            "annotations that are not strings",
            |_, out| spec(out, r#","annotations":{"a":[1]}"#),
            Fails("annotations"),
        ),
        generate(
            "a key with escape sequences and a newline",
            |_, out| spec(out, r#","mounts":[{"destination":5,"\u001b[2J\nforged":1}]"#),
            Fails("mounts"),
        ),
    ]
}

/// Keys of a checkpointed specification that must not take effect on this host.
fn restored() -> Vec<Input> {
    let restore = |name, write: Written, ends| input(name, "spec-gen", RESTORE, write, ends);
    fn says_nothing_of(run: &harness::bounded::Run, text: &str) -> bool {
        !String::from_utf8_lossy(&run.stdout).contains(text)
    }
    vec![
        restore(
            "a checkpoint with hooks",
            |_, out| {
                spec(
                    out,
                    r#","hooks":{"createRuntime":[{"path":"/bin/pwn"}],"poststart":[{"path":"/bin/pwn"}]}"#,
                )
            },
            Gives(|run, _| says_nothing_of(run, "pwn")),
        ),
        restore(
            "a checkpoint that configures CRIU",
            |_, out| spec(out, r#","annotations":{"org.criu.config":"/tmp/pwn"}"#),
            Gives(|run, _| says_nothing_of(run, "pwn")),
        ),
        restore(
            "a checkpoint that requests CDI devices",
            |_, out| spec(out, r#","annotations":{"cdi.k8s.io/x":"vendor.com/pwn=all"}"#),
            Gives(|run, _| says_nothing_of(run, "pwn")),
        ),
        restore(
            "a checkpoint that bind-mounts a host directory",
            |_, out| {
                spec(
                    out,
                    r#","mounts":[{"destination":"/x","type":"bind","source":"/etc","options":["rbind"]}]"#,
                )
            },
            Fails("/etc"),
        ),
        restore(
            "a checkpoint with a bind mount without the type bind",
            |_, out| spec(out, r#","mounts":[{"destination":"/x","source":"/etc","options":["bind"]}]"#),
            Fails("/etc"),
        ),
        restore(
            "a checkpoint that mounts the host's disk",
            |_, out| spec(out, r#","mounts":[{"destination":"/x","type":"ext4","source":"/dev/sda1"}]"#),
            Fails("/dev/sda1"),
        ),
        restore(
            "a checkpoint in the host's network namespace",
            |_, out| spec(out, r#","linux":{"namespaces":[{"type":"network","path":"/proc/1/ns/net"}]}"#),
            Fails("/proc/1/ns/net"),
        ),
        restore(
            "a checkpoint in the host's PID namespace",
            |_, out| {
                spec(
                    out,
                    r#","linux":{"namespaces":[{"type":"pid","path":"/proc/1/ns/pid"},{"type":"user","path":"/proc/self/ns/user"}]}"#,
                )
            },
            Fails("/proc/"),
        ),
        restore(
            "a checkpoint with '..' in the source of a mount",
            |_, out| {
                spec(
                    out,
                    r#","mounts":[{"destination":"/x","type":"bind","source":"../../../../etc","options":["bind"]}]"#,
                )
            },
            Fails("../../../../etc"),
        ),
    ]
}

/// Files in `/etc` of the container, which the container controls.
fn accounts() -> Vec<Input> {
    let user = |name, write: Written, ends| input(name, "spec-gen", USER, write, ends);
    fn passwd(world: &World) -> io::Result<std::path::PathBuf> {
        let path = world.root().join("etc/passwd");
        fs::remove_file(&path)?;
        Ok(path)
    }
    vec![
        user(
            "a passwd that is a FIFO",
            |w, out| {
                nix::unistd::mkfifo(&passwd(w)?, nix::sys::stat::Mode::S_IRWXU)?;
                spec(out, "")
            },
            Fails("passwd"),
        ),
        user(
            "a passwd that is a link out",
            |w, out| {
                symlink(w.out("victim"), passwd(w)?)?;
                spec(out, "")
            },
            Fails("alice"),
        ),
        user(
            "a passwd that is a directory",
            |w, out| {
                fs::create_dir(passwd(w)?)?;
                spec(out, "")
            },
            Fails("passwd"),
        ),
        user(
            "a passwd of a tebibyte",
            |w, out| {
                fs::File::create(passwd(w)?)?.set_len(1 << 40)?;
                spec(out, "")
            },
            Fails("passwd"),
        ),
        user(
            "a passwd of one line of 100 MiB",
            |w, out| {
                fs::write(passwd(w)?, vec![b'a'; 100 << 20])?;
                spec(out, "")
            },
            Fails("root/etc/passwd: longer than 16777216 bytes"),
        ),
        user(
            "a passwd with IDs out of range",
            |w, out| {
                fs::write(passwd(w)?, "alice:x:99999999999:99999999999::/:/bin/sh\n")?;
                spec(out, "")
            },
            Fails("alice"),
        ),
        user(
            "a passwd with the invalid uid 4294967295",
            |w, out| {
                fs::write(passwd(w)?, "alice:x:4294967295:0::/:/bin/sh\n")?;
                spec(out, "")
            },
            Fails("the uid is not a number from 0 to 4294967294, line ignored"),
        ),
        user(
            "an /etc that is a link out",
            |w, out| {
                fs::remove_dir_all(w.root().join("etc"))?;
                symlink(w.out("dir"), w.root().join("etc"))?;
                spec(out, "")
            },
            Fails("alice"),
        ),
        user(
            "a group of a million members",
            |w, out| {
                fs::write(passwd(w)?, "alice:x:1000:1000::/:/bin/sh\n")?;
                fs::write(w.root().join("etc/group"), format!("g:x:5:{}\n", "bob,".repeat(250_000)))?;
                spec(out, "")
            },
            Done,
        ),
    ]
}

fn networks() -> Vec<Input> {
    let to =
        |name, write: Written, ends| input(name, "netstatus", &["restore", "--to", "ip-batch"], write, ends);
    let show = |name, write: Written, ends| input(name, "netstatus", &["show"], write, ends);
    vec![
        to(
            "an interface whose name contains a command",
            |_, out| network(out, "n", "eth0\\nlink delete lo", "10.88.0.5/16", MAC),
            Fails("interface \"eth0\\nlink delete lo\": longer than 15 bytes"),
        ),
        to(
            "an interface whose name is a path",
            |_, out| network(out, "n", "../../x", "10.88.0.5/16", MAC),
            Fails("interface \"../../x\": '/' is not allowed in an interface name"),
        ),
        to(
            "an interface whose name is an option",
            |_, out| network(out, "n", "-all", "10.88.0.5/16", MAC),
            Fails("interface \"-all\": only letters"),
        ),
        to(
            "an interface without a name",
            |_, out| network(out, "n", "", "10.88.0.5/16", MAC),
            Fails("interface \"\": the name is empty"),
        ),
        to(
            "an interface whose name is too long",
            |_, out| network(out, "n", "eth0123456789abcdef", "10.88.0.5/16", MAC),
            Fails("longer than 15 bytes"),
        ),
        to(
            "an address that is a command",
            |_, out| network(out, "n", "eth0", "10.88.0.5/16; reboot", MAC),
            Fails("not a prefix length of its family"),
        ),
        to(
            "an address with too many bits",
            |_, out| network(out, "n", "eth0", "10.88.0.5/33", MAC),
            Fails("\"10.88.0.5/33\": not a prefix length of its family"),
        ),
        to(
            "an invalid address",
            |_, out| network(out, "n", "eth0", "10.88.0.500/16", MAC),
            Fails("\"10.88.0.500/16\": not an IP address"),
        ),
        to(
            "a hardware address that is a command",
            |_, out| network(out, "n", "eth0", "10.88.0.5/16", "$(reboot)"),
            Fails("mac_address: \"$(reboot)\": not a MAC address"),
        ),
        to(
            "a multicast hardware address",
            |_, out| network(out, "n", "eth0", "10.88.0.5/16", "ff:ff:ff:ff:ff:ff"),
            Fails("a multicast address"),
        ),
        to(
            "a network status that is a list",
            |_, out| put(out, "[]"),
            Fails("expected a network status, found an array"),
        ),
        to("a network that is a string", |_, out| put(out, r#"{"n":"x"}"#), Fails("network n")),
        to("interfaces that are a list", |_, out| put(out, r#"{"n":{"interfaces":[]}}"#), Fails("network n")),
        to("a network with a key twice", |_, out| put(out, r#"{"n":{},"n":{}}"#), Fails("duplicate key")),
        show(
            "a network whose name has escape sequences",
            |_, out| network(out, "\\u001b[2J", "eth0", "10.88.0.5/16", MAC),
            Fails("control character in the name of a network"),
        ),
        show(
            "a name server that is a command",
            |_, out| put(out, r#"{"n":{"dns_server_ips":["$(reboot)"],"interfaces":{}}}"#),
            Fails("dns_server_ips: \"$(reboot)\": not an IP address"),
        ),
        show(
            "a search domain with a newline",
            |_, out| put(out, r#"{"n":{"dns_search_domains":["a\nnameserver 6.6.6.6"],"interfaces":{}}}"#),
            Fails("dns_search_domains: \"a\\nnameserver 6.6.6.6\": not a domain name"),
        ),
        show(
            "a hundred thousand interfaces",
            |_, out| {
                put(out, r#"{"n":{"interfaces":{"x":{}"#)?;
                (0..100_000).try_for_each(|n| put(out, &format!(r#","e{n}":{{}}"#)))?;
                put(out, "}}}")
            },
            Fails("longer than"),
        ),
    ]
}
