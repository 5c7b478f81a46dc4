//! Checks that the tool compares the mounted overlay itself, regardless of what its mount options
//! say and where the paths in the options lead now.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use harness::host;

const TOOL: &str = env!("CARGO_BIN_EXE_rootfs-diff");

/// The list of changes that `change` makes in an overlay over `l`, and in an overlay over `l` and
/// `l2`.
const ONE: &str = "C /\nD /a\nC /etc\nD /etc/b\nA /n\n";
const TWO: &str = "C /\nD /a\nC /etc\nD /etc/b\nD /etc/y\nA /n\nD /z\n";

/// The expected result of a case.
#[derive(Clone, Copy)]
enum Ends {
    /// Exactly this list.
    List(&'static str),
    /// An error and a hint that contain these texts.
    Error(&'static str, &'static str),
}
use Ends::{Error, List};

/// The name, a script with the functions of identity.sh, the operand of `--rootfs`, in which `$PID`
/// and `$D` are replaced, and the expected result.
type Case = (&'static str, &'static str, &'static str, Ends);

/// Builds one case and lists its changes. `tool` is a command that runs rootfs-diff.
fn list(script: &str, rootfs: &str, tool: &[&str]) -> Output {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let prelude = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/identity.sh");
    let script = format!("D=$PWD; . '{}'\n{script}", prelude.display());
    let built = Command::new("bash").args(["-c", &script]).current_dir(dir.path()).output().unwrap();
    assert!(built.status.success(), "{script}: {}", String::from_utf8_lossy(&built.stderr));
    let pids = fs::read_to_string(dir.path().join("pids")).unwrap_or_default();
    let rootfs = rootfs.replace("$PID", pids.trim()).replace("$D", dir.path().to_str().unwrap());
    let mut command = Command::new(tool.first().unwrap_or(&TOOL));
    command.args(tool.iter().skip(1)).args(tool.first().map(|_| TOOL));
    let output = command.args(["list", "--rootfs", &rootfs]).current_dir(dir.path()).output().unwrap();
    // The directory can only be removed if nothing is mounted in it.
    let end = r#"kill $(cat pids 2>/dev/null) 2>/dev/null
        awk '{ print $5 }' /proc/self/mountinfo | grep -F "$PWD/" | tac |
            while read -r m; do umount -l "$(printf %b "${m//\\/\\0}")"; done; true"#;
    assert!(Command::new("bash").args(["-c", end]).current_dir(dir.path()).status().unwrap().success());
    output
}

/// Runs all cases, and reports every failure at the end.
fn check_as(cases: &[Case], tool: &[&str]) {
    host::own_mounts();
    let mut failed = Vec::new();
    for &(name, script, rootfs, ends) in cases {
        let output = list(script, rootfs, tool);
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let right = match ends {
            List(expected) => output.status.success() && stdout == expected && stderr.is_empty(),
            Error(message, expected) => {
                let hint = stderr.lines().any(|line| line.starts_with("hint: ") && line.contains(expected));
                let hint = hint || expected.is_empty();
                output.status.code() == Some(1) && stdout.is_empty() && stderr.contains(message) && hint
            }
        };
        if !right {
            failed.push(format!("{name}: {}\n{stdout}{stderr}", output.status));
        }
    }
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}

fn check(cases: &[Case]) {
    check_as(cases, &[]);
}

#[ignore = "needs root"]
#[test]
fn a_mount_is_found_by_every_path() {
    check(&[
        ("absolute", "one; change", "$D/m", List(ONE)),
        ("relative", "one; change", "m", List(ONE)),
        ("trailing slashes", "two; change", "./m//", List(TWO)),
        ("symbolic link", "one; change; ln -s m link", "link", List(ONE)),
        ("symbolic links in the middle", "one; change; ln -s . x; ln -s x/m y", "x/y", List(ONE)),
        ("dot dot", "one; change", "m/etc/..", List(ONE)),
        ("working directory", "one; change", "/proc/self/cwd/m", List(ONE)),
        ("bind mount", "two; change; mkdir b; mount --bind m b", "b", List(TWO)),
        ("bind mount, original gone", "one; change; mkdir b; mount --bind m b; umount m", "b", List(ONE)),
        (
            "moved",
            "one; change; mkdir b; mount --make-private . 2>/dev/null || true; mount --move m b",
            "b",
            List(ONE),
        ),
        (
            "mounted twice",
            "one; change; mkdir m2; overlay lowerdir=$D/l,upperdir=$D/u,workdir=$D/w m2",
            "m2",
            List(ONE),
        ),
    ]);
}

#[ignore = "needs root"]
#[test]
fn layers_given_by_descriptor_are_found() {
    let one = "layers; exec 7<l 8<u 9<w;";
    let cases: Vec<(&str, String)> = vec![
        (
            "self",
            format!(
                "{one} overlay lowerdir=/proc/self/fd/7,upperdir=/proc/self/fd/8,workdir=/proc/self/fd/9"
            ),
        ),
        (
            "thread-self",
            format!(
                "{one} overlay lowerdir=/proc/thread-self/fd/7,upperdir=/proc/thread-self/fd/8,workdir=$D/w"
            ),
        ),
        ("dev", format!("{one} overlay lowerdir=/dev/fd/7,upperdir=/dev/fd/8,workdir=/dev/fd/9")),
        (
            "process",
            format!("{one} overlay lowerdir=/proc/$$/fd/7,upperdir=/proc/$$/fd/8,workdir=/proc/$$/fd/9"),
        ),
        (
            "numbers",
            format!("{one} (cd /proc/self/fd; mount -t overlay o -o lowerdir=7,upperdir=8,workdir=9 $D/m)"),
        ),
        (
            "only the lower layer",
            format!("{one} overlay lowerdir=/proc/self/fd/7,upperdir=$D/u,workdir=$D/w"),
        ),
    ];
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let mut cases: Vec<Case> =
        cases.into_iter().map(|(name, script)| (name, leak(script + "; change"), "m", List(ONE))).collect();
    let two = "layers; exec 6<l2 7<l 8<u 9<w; overlay lowerdir=/proc/self/fd/7:/proc/self/fd/6,upperdir=/proc/self/fd/8,workdir=/proc/self/fd/9; change";
    cases.push(("two lower layers", two, "m", List(TWO)));
    cases.push((
        "no files left of the lower layer",
        "mkdir l u w m; echo a > l/a; exec 7<l; overlay lowerdir=/proc/self/fd/7,upperdir=$D/u,workdir=$D/w; rm m/a",
        "m",
        List("C /\nD /a\n"),
    ));
    cases.push((
        "200 layers",
        "mkdir u w m; exec 8<u 9<w; lower=; for i in {1..200}; do mkdir l$i; echo > l$i/f$i; exec {fd}<l$i; lower+=:$fd; done
         (cd /proc/self/fd; mount -t overlay o -o lowerdir=${lower#:},upperdir=8,workdir=9 $D/m); rm m/f1 m/f77 m/f200",
        "m",
        List("C /\nD /f1\nD /f200\nD /f77\n"),
    ));
    cases.push((
        "500 layers, the maximum",
        "ulimit -n 4096; mkdir u w m; exec 8<u 9<w; lower=; for i in {1..500}; do mkdir l$i; echo > l$i/f$i; exec {fd}<l$i; lower+=:$fd; done
         (cd /proc/self/fd; mount -t overlay o -o lowerdir=${lower#:},upperdir=8,workdir=9 $D/m); rm m/f1 m/f500",
        "m",
        List("C /\nD /f1\nD /f500\n"),
    ));
    check(&cases);
}

#[ignore = "needs root"]
#[test]
fn relative_layers_are_found() {
    check(&[
        (
            "containerd",
            "layers; mkdir -p s/1 s/2 s/3 task/rootfs; mv l s/2/fs; mv l2 s/1/fs; mv u s/3/fs; mv w s/3/work
             (cd s; overlay lowerdir=2/fs:1/fs,upperdir=$D/s/3/fs,workdir=$D/s/3/work $D/task/rootfs); change task/rootfs",
            "task/rootfs",
            List(TWO),
        ),
        (
            "containers/storage",
            "layers; mkdir -p g/l g/1 g/2 g/3/merged; mv l g/2/diff; mv l2 g/1/diff; mv u g/3/diff; mv w g/3/work
             ln -s ../2/diff g/l/TWO; ln -s ../1/diff g/l/ONE
             (cd g; overlay lowerdir=l/TWO:l/ONE,upperdir=3/diff,workdir=3/work 3/merged); change g/3/merged",
            "g/3/merged",
            List(TWO),
        ),
        (
            "containers/storage by number",
            "layers; mkdir -p g/l g/1 g/2 g/3/merged; mv l g/2/diff; mv l2 g/1/diff; mv u g/3/diff; mv w g/3/work
             ln -s ../2/diff g/l/TWO; ln -s ../1/diff g/l/ONE; printf l/TWO:l/ONE > g/3/lower
             exec 6<g/1/diff 7<g/2/diff 8<g/3/diff 9<g/3/work
             (cd /proc/self/fd; mount -t overlay o -o lowerdir=7:6,upperdir=8,workdir=9 $D/g/3/merged); change g/3/merged",
            "g/3/merged",
            List(TWO),
        ),
        (
            "500 layers, the maximum",
            "mkdir u w m; lower=; for i in {1..500}; do mkdir l$i; echo > l$i/f$i; lower+=:l$i; done
             overlay lowerdir=${lower#:},upperdir=u,workdir=w; rm m/f1 m/f500",
            "m",
            List("C /\nD /f1\nD /f500\n"),
        ),
        ("all relative", "layers; overlay lowerdir=l:l2,upperdir=u,workdir=w; change", "m", List(TWO)),
        ("dots", "layers; (cd l/etc; overlay lowerdir=..:../../l2,upperdir=../../u,workdir=../../w $D/m); change", "m", List(TWO)),
        (
            "mounted elsewhere",
            "layers; mkdir -p far/away/from/here/m; overlay lowerdir=l,upperdir=u,workdir=w far/away/from/here/m
             mv far away; change away/away/from/here/m",
            "away/away/from/here/m",
            List(ONE),
        ),
        (
            "another directory of the same name next to the upper one",
            "layers; mkdir x; mv u w x; mkdir x/l; echo other > x/l/a; overlay lowerdir=l,upperdir=$D/x/u,workdir=$D/x/w; change",
            "m",
            List(ONE),
        ),
    ]);
}

#[ignore = "needs root"]
#[test]
fn escaped_names_of_layers_are_decoded() {
    let name = |name: &str, given: &str| -> &'static str {
        let script = format!(
            "layers; mv l $'{name}'; mv u $'{name}-u'
             overlay $'lowerdir={given},upperdir={given}-u,workdir=w' m; change"
        );
        Box::leak(script.into_boxed_str())
    };
    let new = |name: &str| -> &'static str {
        let script = format!(
            "layers; mv l $'{name}'; mv u $'{name}-u'
             py \"overlay([(b'lowerdir+', b'''$D/{name}'''), (b'lowerdir+', b'l2'), (b'upperdir', b'''$D/{name}-u'''), (b'workdir', b'w')])\"
             change"
        );
        Box::leak(script.into_boxed_str())
    };
    check(&[
        ("space", name("a b", "a b"), "m", List(ONE)),
        ("tab and newline", name(r"a\tb\nc", r"a\tb\nc"), "m", List(ONE)),
        ("number sign", name("a#b", "a#b"), "m", List(ONE)),
        ("octal digits", name(r"a\\040b", r"a\\\\040b"), "m", List(ONE)),
        ("colon, one by one", new("a:b"), "m", List(TWO)),
        ("comma, one by one", new("a,b"), "m", List(TWO)),
        ("space, one by one", new("a b=c"), "m", List(TWO)),
        (
            "colon",
            r"layers; mv l a:b; overlay 'lowerdir=a\:b:l2,upperdir=u,workdir=w'; change",
            "m",
            List(TWO),
        ),
        (
            "not UTF-8",
            r"layers; mv l $'a\xffb'; overlay $'lowerdir=a\xffb,upperdir=u,workdir=w'; change",
            "m",
            List(ONE),
        ),
    ]);
}

#[ignore = "needs root"]
#[test]
fn moved_and_covered_layers_are_found() {
    check(&[
        ("upper renamed", "one; change; mv u gone", "m", List(ONE)),
        ("upper replaced", "two; change; mv u gone; mkdir u; echo x > u/x", "m", List(TWO)),
        ("upper replaced by a copy", "one; change; cp -a u copy; mv u gone; mv copy u; rm u/a", "m", List(ONE)),
        ("upper covered", "one; change; mount -t tmpfs t u", "m", List(ONE)),
        ("a directory in upper covered", "one; change; mount -t tmpfs t u/etc", "m", List(ONE)),
        ("lower renamed", "one; change; mv l gone", "m", List(ONE)),
        ("lower replaced", "one; change; mv l gone; mkdir l", "m", List(ONE)),
        ("lower replaced by a copy", "two; change; cp -a l copy; rm copy/a; mv l gone; mv copy l", "m", List(TWO)),
        ("lower covered", "one; change; mount -t tmpfs t l", "m", List(ONE)),
        ("one of two covered", "two; change; mount -t tmpfs t l2", "m", List(TWO)),
        ("two lower directories swapped", "two; change; mv l x; mv l2 l; mv x l2", "m", List(TWO)),
        ("all renamed", "two; change; mkdir far; mv l l2 u far", "m", List(TWO)),
        (
            "the parent of all layers covered",
            "mkdir x y; D=$D/x; cd x; two; change; mkdir ../y/m; mount --bind m ../y/m; mount -t tmpfs t ../x",
            "y/m",
            List(TWO),
        ),
        (
            "each on a separate file system",
            "mkdir l l2 u; for x in l l2; do mount -t tmpfs t $x; done; mount -t tmpfs t u; mkdir u/u u/w m
             echo a > l/a; echo b > l2/b; overlay lowerdir=$D/l:$D/l2,upperdir=$D/u/u,workdir=$D/u/w; rm m/a m/b",
            "m",
            List("C /\nD /a\nD /b\n"),
        ),
    ]);
}

#[ignore = "needs root"]
#[test]
fn a_hidden_overlay_is_not_compared() {
    const HIDDEN: Ends = Error("hidden by a later mount", "unmount");
    check(&[
        ("by a tmpfs", "one; change; mount -t tmpfs t m", "m", HIDDEN),
        ("by a bind mount", "one; change; mount --bind l m", "m", HIDDEN),
        (
            "by a directory in a tmpfs",
            "mkdir x; D=$D/x; cd x; one; change; mount -t tmpfs t ../x; mkdir $D/m",
            "x/m",
            HIDDEN,
        ),
        (
            "by another overlay, which is compared",
            "one; change; mkdir u2 w2; overlay lowerdir=$D/l2,upperdir=$D/u2,workdir=$D/w2; rm m/z",
            "m",
            List("C /\nD /z\n"),
        ),
        (
            "nested",
            "two; change; mkdir u2 w2 n; overlay lowerdir=$D/m,upperdir=$D/u2,workdir=$D/w2 n; rm n/n; echo > n/k; mv u2 x",
            "n",
            List("C /\nA /k\nD /n\n"),
        ),
        (
            "by an overlay with itself as lower layer",
            "one; change; mkdir u2 w2; overlay lowerdir=$D/m,upperdir=$D/u2,workdir=$D/w2; rm m/n; echo k > m/k",
            "m",
            Error("does not read the layer that its options name", "--from"),
        ),
        ("no overlay", "layers", "l", Error("expected an overlay mount", "--from")),
        ("a directory inside", "one", "m/etc", Error("expected an overlay mount", "--from")),
    ]);
}

#[ignore = "needs root"]
#[test]
fn a_bind_mounted_subdirectory_is_compared_alone() {
    let expected = "C /\nD /b\nC /deep\nA /deep/new\n";
    check(&[
        ("bind", "one; mkdir b; mount --bind m/etc b; rm b/b; echo > b/deep/new", "b", List(expected)),
        ("two layers", "two; mkdir b; mount --bind m/etc b; rm b/b b/y", "b", List("C /\nD /b\nD /y\n")),
        ("deeper", "one; mkdir b; mount --bind m/etc/deep b; rm b/c", "b", List("C /\nD /c\n")),
        ("unchanged", "one; mkdir b; mount --bind m/etc b; rm m/a", "b", List("")),
        (
            "of a bind",
            "one; mkdir b c; mount --bind m/etc b; mount --bind b/deep c; rm c/c",
            "c",
            List("C /\nD /c\n"),
        ),
        ("new", "one; mkdir m/new b; echo > m/new/f; mount --bind m/new b", "b", List("C /\nA /f\n")),
        (
            "removed and made again",
            "one; rm -r m/etc; mkdir m/etc b; echo > m/etc/f; mount --bind m/etc b",
            "b",
            List("C /\nD /b\nD /deep\nA /f\n"),
        ),
        (
            "renamed",
            "layers; overlay redirect_dir=on,lowerdir=$D/l,upperdir=$D/u,workdir=$D/w; mv m/etc m/conf; mkdir b; mount --bind m/conf b",
            "b",
            List("C /\nA /b\nA /deep\nA /deep/c\n"),
        ),
        (
            "the overlay itself is unmounted",
            "two; mkdir b; mount --bind m/etc b; umount m; rm b/y; echo > b/new",
            "b",
            List("C /\nA /new\nD /y\n"),
        ),
        (
            "the overlay itself is unmounted and a layer lacks the directory",
            "two; mkdir b; mount --bind m/etc/deep b; umount m; rm b/c",
            "b",
            List("C /\nD /c\n"),
        ),
        (
            "the overlay itself is hidden",
            "one; mkdir b; mount --bind m/etc b; mount -t tmpfs t m; rm b/b",
            "b",
            List("C /\nD /b\n"),
        ),
        (
            "unmounted, and a layer replaced",
            "two; mkdir b; mount --bind m/etc b; umount m; mv l2 x; mkdir l2",
            "b",
            Error("does not read the layer that its options name", "--from"),
        ),
        ("deleted", "one; mkdir m/new b; mount --bind m/new b; rmdir m/new", "b", Error("deleted", "--from")),
    ]);
}

#[ignore = "needs root"]
#[test]
fn mounts_of_another_namespace_are_compared() {
    // Runs `program` in a separate namespace, and changes the overlay at `path` there.
    let enter = |program: &str, path: &str| -> &'static str {
        let private = "libc.unshare(0x20000); mount(b'', b'/', b'', 0x44000)";
        let script = format!("layers; background \"{private}\n{program}\"; change /proc/$(cat pids)/{path}");
        Box::leak(script.into_boxed_str())
    };
    let two = "mount(b'o', b'm', b'overlay', 0, b'lowerdir=$D/l:$D/l2,upperdir=$D/u,workdir=$D/w')\n";
    let root = format!("{two}os.chroot('m')");
    let pivot = format!("{two}os.chdir('m'); call(155, b'.', b'.'); libc.umount2(b'.', 2)");
    let volume = format!(
        "{two}os.mkdir('m/vol'); mount(b't', b'm/vol', b'tmpfs'); open('m/vol/x', 'w'); os.chroot('m')"
    );
    let private =
        "mount(b't', b'l2', b'tmpfs'); open('l2/z', 'w'); os.mkdir('l2/etc'); open('l2/etc/y', 'w')\n";
    check(&[
        ("by path", enter(two, "root/$D/m"), "/proc/$PID/root/$D/m", List(TWO)),
        ("by working directory", enter(two, "cwd/m"), "/proc/$PID/cwd/m", List(TWO)),
        ("as root", enter(&root, "root"), "/proc/$PID/root", List(TWO)),
        ("as root, with a slash", enter(&root, "root"), "/proc/$PID/root/", List(TWO)),
        ("as root after pivot_root", enter(&pivot, "root"), "/proc/$PID/root", List(TWO)),
        (
            "with a volume",
            enter(&volume, "root"),
            "/proc/$PID/root",
            List("C /\nD /a\nC /etc\nD /etc/b\nD /etc/y\nA /n\nA /vol\nD /z\n"),
        ),
        (
            "a layer mounted there only",
            enter(&format!("{private}{two}"), "root/$D/m"),
            "/proc/$PID/root/$D/m",
            List(TWO),
        ),
    ]);
}

#[ignore = "needs root"]
#[test]
fn no_change_is_missed_with_idmapped_layers() {
    let map = "py \"idmap(b'l', b'mapped')\"; chown 100000:100000 u";
    let script = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let map_two = "mkdir -p mapped/0 mapped/1; py \"idmap(b'l', b'mapped/0'); idmap(b'l2', b'mapped/1')\"; chown 100000:100000 u";
    let two = "overlay lowerdir=$D/mapped/0:$D/mapped/1,upperdir=$D/u,workdir=$D/w; change";
    // The list includes an unchanged file that was copied up, since nothing proves that it is
    // unchanged.
    const GONE: Ends =
        List("C /\nD /a\nC /etc\nD /etc/b\nC /etc/deep\nC /etc/deep/c\nD /etc/y\nA /n\nD /z\n");
    check(&[
        (
            "one, unmounted since",
            script(format!(
                "layers; mkdir mapped; {map}; overlay lowerdir=$D/mapped,upperdir=$D/u,workdir=$D/w; umount mapped; change"
            )),
            "m",
            List(ONE),
        ),
        (
            "one, mounted over the layer itself",
            script(String::from(
                "layers; py \"idmap(b'l', b'l')\"; chown 100000:100000 u; overlay lowerdir=$D/l,upperdir=$D/u,workdir=$D/w; umount l; change",
            )),
            "m",
            List(ONE),
        ),
        ("two, still mounted", script(format!("layers; {map_two}; {two}")), "m", List(TWO)),
        (
            "two, unmounted since",
            script(format!("layers; {map_two}; {two}; chmod u+r m/etc/deep/c; umount mapped/0 mapped/1")),
            "m",
            GONE,
        ),
        (
            "two, one unmounted since",
            script(format!("layers; {map_two}; {two}; chmod u+r m/etc/deep/c; umount mapped/1")),
            "m",
            GONE,
        ),
        (
            "two, their directory removed",
            script(format!(
                "layers; {map_two}; {two}; chmod u+r m/etc/deep/c; umount mapped/0 mapped/1; rm -r mapped"
            )),
            "m",
            GONE,
        ),
        (
            "two, and a file gets the owner that it has in the layer",
            "layers; chown 1000 l/etc/deep/c; touch -d @1000000000.5 l/etc/deep/c; chown 1000:1000 u; mkdir -p mapped/0 mapped/1
             py \"idmap(b'l', b'mapped/0', '0 1000 65536'); idmap(b'l2', b'mapped/1', '0 1000 65536')\"
             overlay lowerdir=$D/mapped/0:$D/mapped/1,upperdir=$D/u,workdir=$D/w
             [ $(stat -c %u m/etc/deep/c) = 2000 ]; chown 1000 m/etc/deep/c; umount mapped/0 mapped/1",
            "m",
            List("C /\nC /etc\nC /etc/deep\nC /etc/deep/c\n"),
        ),
    ]);
}

#[ignore = "needs root"]
#[test]
fn layers_are_found_whatever_the_mount_options() {
    let with = |options: &str| -> &'static str {
        let script = format!(
            "layers; overlay {options},lowerdir=$D/l:$D/l2,upperdir=$D/u,workdir=$D/w; change; mv u gone; mkdir u"
        );
        Box::leak(script.into_boxed_str())
    };
    check(&[
        ("metacopy", with("metacopy=on"), "m", List(TWO)),
        ("redirect", with("redirect_dir=on"), "m", List(TWO)),
        ("userxattr", with("userxattr"), "m", List(TWO)),
        ("volatile", with("volatile"), "m", List(TWO)),
        ("xino", with("xino=on"), "m", List(TWO)),
        ("no xino", with("xino=off"), "m", List(TWO)),
        ("index", with("index=on"), "m", List(TWO)),
        ("file handles", with("index=on,nfs_export=on"), "m", List(TWO)),
        ("uuid", with("uuid=on"), "m", List(TWO)),
        (
            "data only",
            "layers; mkdir d; overlay metacopy=on,redirect_dir=on,lowerdir=$D/l:$D/l2::$D/d,upperdir=$D/u,workdir=$D/w; change",
            "m",
            List(TWO),
        ),
        ("read only", "layers; overlay lowerdir=$D/l:$D/l2", "m", Error("without an upper directory", "")),
    ]);
}

/// While a process keeps the root directory open after listing it, the kernel does not read the
/// layers for another listing.
#[ignore = "needs root"]
#[test]
fn layers_are_not_guessed_if_the_root_is_open() {
    let hold = r#"background "d = os.open('m', 0); os.listdir(d)"; "#;
    let script = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    const NEW: &str = "C /\nD /a\nC /etc\nD /etc/b\nA /etc/new\nD /etc/y\nA /n\nD /z\n";
    const IN_USE: Ends = Error("while a process holds the root directory", "--from");
    check(&[
        ("as mounted", script(format!("two; echo > m/etc/new; change; {hold}")), "m", List(NEW)),
        ("the upper directory replaced", script(format!("one; change; {hold} mv u x; mkdir u")), "m", IN_USE),
        ("a lower directory replaced", script(format!("two; change; {hold} mv l2 x; mkdir l2")), "m", IN_USE),
        ("a lower directory covered", script(format!("one; change; {hold} mount -t tmpfs t l")), "m", IN_USE),
        (
            "a directory of a layer moved to where the layer was",
            script(format!("two; change; {hold} mv l2 x; mkdir l2; mv x/etc l2")),
            "m",
            IN_USE,
        ),
        (
            "a layer without directories",
            script(format!(
                "mkdir l u w m; echo a > l/a; overlay lowerdir=l,upperdir=u,workdir=w; rm m/a; {hold}"
            )),
            "m",
            IN_USE,
        ),
    ]);
}

/// Without CAP_SYS_ADMIN the kernel reports only whether it reads the named directories, and not
/// which other directories it reads.
#[ignore = "needs root"]
#[test]
fn without_privilege_only_the_named_layers_are_accepted() {
    const OTHERS: Ends = Error("does not read the layer that its options name", "--from");
    check_as(
        &[
            ("as mounted", "one; change", "m", List(ONE)),
            ("relative", "layers; overlay lowerdir=l,upperdir=$D/u,workdir=w; change", "m", List(ONE)),
            ("lower covered", "one; change; mount -t tmpfs t l", "m", OTHERS),
            ("lower replaced", "two; change; mv l2 x; mkdir l2", "m", OTHERS),
            ("upper replaced", "one; change; mv u x; mkdir u", "m", OTHERS),
            (
                "by descriptor",
                "layers; exec 7<l; overlay lowerdir=/proc/self/fd/7,upperdir=$D/u,workdir=$D/w; change",
                "m",
                OTHERS,
            ),
        ],
        &["setpriv", "--bounding-set", "-sys_admin"],
    );
    let others = ["unshare", "--user", "--map-root-user", "--mount"];
    check_as(
        &[("as mounted", "two; change", "m", List(TWO)), ("replaced", "two; mv l x; mkdir l", "m", OTHERS)],
        &others,
    );
}
