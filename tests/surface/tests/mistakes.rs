//! Mistakes that new users make. Each error must name the file or flag and the fault, and, if
//! possible, a remedy.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use harness::tools::tool;
use tempfile::TempDir;

/// Command line, exit status, expected error, and expected help: a hint, or clap's tip or usage
/// line.
struct Mistake(&'static str, i32, &'static str, &'static str);

const VOL_ARCHIVE: &[Mistake] = &[
    Mistake("vol-archive create", 2, "no directory given", "vol-archive create DIR"),
    Mistake("vol-archive create nothere", 1, "nothere: No such file or directory", ""),
    Mistake("vol-archive create text", 1, "text: Not a directory", ""),
    Mistake("vol-archive create vol other", 2, "more than one directory", "--members NAME=DIR NAME=DIR"),
    Mistake("vol-archive create --members vol", 2, "vol: with --members, expected NAME=DIR", ""),
    Mistake("vol-archive create --members a/b=vol", 2, "a/b=vol: expected a letter or digit", ""),
    Mistake("vol-archive create --members v=vol v=other", 2, "volumes/v.tar: given twice", ""),
    Mistake("vol-archive create --shm vol vol", 2, "not provided", "vol-archive create --members --shm"),
    Mistake("vol-archive create --exclude ../x vol", 2, "--exclude ../x: name with '..'", ""),
    Mistake("vol-archive creat vol", 2, "unrecognized subcommand 'creat'", "'create'"),
    Mistake("vol-archive create --member v=vol", 2, "'--member'", "'--members'"),
    Mistake("vol-archive create vol -o nodir/x", 1, "nodir/x: No such file or directory", ""),
    Mistake("vol-archive create vol -o other", 1, "other: is a directory", ""),
    Mistake("vol-archive extract other < text", 1, "standard input: expected a tar, found text", ""),
    Mistake("vol-archive extract other < twice.tar.gz", 1, "found gzip-compressed data", "gzip -dc FILE |"),
    Mistake("vol-archive extract other < vol", 1, "Is a directory", ""),
    Mistake("vol-archive extract --uidmap 0:1 other < vol.tar", 2, "'0:1'", "expected CONTAINER:HOST:SIZE"),
    Mistake("vol-archive create v=vol", 2, "v=vol: expected a directory", "NAME=DIR needs --members"),
    Mistake("vol-archive create --members v:vol", 2, "v:vol: with --members, expected", "write v=vol"),
    Mistake("vol-archive create --members ./vol=v", 2, "./vol=v: expected NAME=DIR", "write v=./vol"),
    Mistake("vol-archive create -C vol", 2, "'-C'", "tip: vol-archive create DIR"),
    Mistake("vol-archive create -f x vol", 2, "'-f'", "tip: vol-archive create DIR -o FILE"),
    Mistake("vol-archive create -z vol", 2, "'-z'", "tip: vol-archive create DIR | zstd > FILE"),
    Mistake("vol-archive create -p vol", 2, "'-p'", "always saves all metadata"),
    Mistake("vol-archive -cf x vol", 2, "'-c'", "tip: vol-archive create DIR -o FILE"),
    Mistake("vol-archive -xf vol.tar", 2, "'-x'", "tip: vol-archive extract DIR < FILE"),
    Mistake("vol-archive -tf vol.tar", 2, "'-t'", "tip: vol-archive list FILE"),
    Mistake("vol-archive version", 2, "subcommand 'version'", "tip: '--version' exists"),
    Mistake("vol-archive --progress always create vol", 2, "'always'", "tip: write --progress=always"),
    Mistake("vol-archive extract", 2, "no directory given", "vol-archive extract DIR"),
    Mistake("vol-archive extract vol.tar other", 2, "vol.tar: expected a directory", "extract DIR < vol.tar"),
    Mistake("vol-archive extract vol.tar", 2, "vol.tar: expected a directory", "extract DIR < vol.tar"),
    Mistake("vol-archive extract -C other < vol.tar", 2, "'-C'", "tip: vol-archive extract DIR < FILE"),
    Mistake("vol-archive extract -p other < vol.tar", 2, "'-p'", "always restores all metadata"),
    Mistake("vol-archive extract -z other < vol.tar", 2, "'-z'", "the compression is detected"),
    Mistake("true | vol-archive extract other", 1, "standard input: is empty, expected a tar", ""),
    Mistake("true | vol-archive list", 1, "standard input: is empty, expected a tar", ""),
    Mistake("vol-archive extract other < pod.tar", 1, "is a pod archive", "ckpt-unpack --cat MEMBER FILE"),
    Mistake("vol-archive extract other < web.ckpt", 1, "is a checkpoint archive", "ckpt-unpack --bundle DIR"),
    Mistake("vol-archive extract link < vol.tar", 1, "link: is a link to gone, which does not exist", ""),
    Mistake("vol-archive extract --members v=other < vol.tar", 1, "/: not a member", "leave out --members"),
    Mistake(
        "vol-archive create --members a=vol b=vol | vol-archive extract --members a=other b=other",
        2,
        "b=other: the same directory as a=other",
        "",
    ),
];

const ROOTFS_DIFF: &[Mistake] = &[
    Mistake(
        "rootfs-diff create --from vol --to other",
        2,
        "no file given for the list of deletions",
        "--members",
    ),
    Mistake("rootfs-diff create --members", 2, "no source given: --rootfs MOUNTPOINT", ""),
    Mistake(
        "rootfs-diff create --members --rootfs vol",
        1,
        "vol: expected an overlay mount",
        "--from DIR --to MOUNTPOINT",
    ),
    Mistake("rootfs-diff create --members --rootfs nothere", 1, "nothere: No such file or directory", ""),
    Mistake(
        "rootfs-diff create --members --upper vol",
        2,
        "--lower <DIR",
        "rootfs-diff create --upper <DIR> --lower",
    ),
    Mistake("rootfs-diff create --members --upper vol --lower nothere", 1, "nothere: No such file", ""),
    Mistake("rootfs-diff list --from vol", 2, "--to <DIR>", ""),
    Mistake("rootfs-diff create --format docker --from vol --to other", 2, "'docker'", "podman, oci"),
    Mistake("rootfs-diff apply < vol.tar", 2, "--rootfs <DIR>", ""),
    Mistake("rootfs-diff apply --rootfs nothere < vol.tar", 1, "nothere: No such file or directory", ""),
    Mistake("rootfs-diff apply --rootfs other < text", 1, "standard input: expected a tar, found text", ""),
    Mistake("rootfs-diff apply --rootfs other --deleted nothere < vol.tar", 1, "nothere: No such file", ""),
    Mistake(
        "rootfs-diff apply --rootfs other --deleted object.json < vol.tar",
        1,
        "object.json: deleted.files: ",
        "",
    ),
    Mistake("rootfs-diff apply --rootfs other --userxattr < vol.tar", 2, "--layer <DIR>", ""),
    Mistake(
        "rootfs-diff apply --rootfs other --layer new --dry-run < vol.tar",
        2,
        "'--layer <DIR>' cannot be used with '--dry-run'",
        "",
    ),
    Mistake(
        "rootfs-diff list vol",
        2,
        "'vol'",
        "tip: --archive FILE, --rootfs MOUNTPOINT, or --from DIR --to DIR",
    ),
    Mistake("rootfs-diff --archive web.ckpt", 2, "'--archive'", "tip: rootfs-diff list --archive FILE"),
    Mistake("rootfs-diff create vol", 2, "'vol'", "tip: --rootfs MOUNTPOINT, or --from DIR --to DIR"),
    Mistake("rootfs-diff apply other < vol.tar", 2, "'other'", "rootfs-diff apply --rootfs DIR < FILE"),
    Mistake(
        "rootfs-diff apply --rootfs other vol.tar",
        2,
        "'vol.tar'",
        "rootfs-diff apply --rootfs DIR < FILE",
    ),
    Mistake("true | rootfs-diff apply --rootfs other", 1, "standard input: is empty, expected a tar", ""),
    Mistake(
        "rootfs-diff apply --rootfs other --deleted bundle/deleted.files < vol.tar",
        1,
        "bundle/deleted.files: No such file",
        "leave out --deleted",
    ),
    Mistake(
        "rootfs-diff apply --rootfs other < web.ckpt",
        1,
        "is a checkpoint archive",
        "ckpt-unpack --bundle",
    ),
    Mistake(
        "rootfs-diff apply --rootfs other --members < vol.tar",
        1,
        "/: not a member",
        "leave out --members",
    ),
];

const CKPT_PACK: &[Mistake] = &[
    Mistake("ckpt-pack", 2, "--bundle <DIR>", "Usage: ckpt-pack"),
    Mistake("ckpt-pack bundle", 2, "--bundle <DIR>", "Usage: ckpt-pack"),
    Mistake("ckpt-pack --bundle nothere", 1, "nothere: No such file or directory", ""),
    Mistake(
        "ckpt-pack --bundle running",
        1,
        "running/checkpoint: No such file",
        "runc checkpoint --image-path running/checkpoint",
    ),
    Mistake(
        "ckpt-pack --bundle bundle -o new.ckpt",
        1,
        "rootfs-diff.tar: missing, no member stream contains it",
        "rootfs-diff create --members",
    ),
    Mistake(
        "ckpt-pack --bundle bundle nothing -o new.ckpt",
        1,
        "nothing: expected a member stream, found no data",
        "see the error above",
    ),
    Mistake("ckpt-pack --pod-config pod.json", 2, "expected at least one --container NAME=ARCHIVE", ""),
    Mistake("ckpt-pack --container web=web.ckpt", 2, "not provided", "--pod-config"),
    Mistake("ckpt-pack --pod-config pod.json --container web.ckpt=web", 1, "web: No such file", ""),
    Mistake(
        "ckpt-pack --pod-config pod.json --container ./web.ckpt=web",
        2,
        "expected NAME=ARCHIVE",
        "write web=./web.ckpt",
    ),
    Mistake(
        "ckpt-pack --pod-config text --container web=web.ckpt",
        1,
        "text: not valid JSON",
        r#"{"metadata":{"name":"NAME"}}"#,
    ),
    Mistake("ckpt-pack --pod-config pod.json --container web=text -o new", 1, "text: ", ""),
    Mistake(
        "ckpt-pack --from-archive pod.tar -o new",
        1,
        "is a pod archive of the containers web",
        "ckpt-unpack --cat NAME.tar FILE",
    ),
    Mistake("ckpt-pack --shm vol", 2, "'--shm'", "tip: --member devshm-checkpoint.tar=FILE"),
    Mistake(
        "ckpt-pack --pod-config pod.json --container web web.ckpt -o x",
        2,
        "invalid value 'web'",
        "write --container web=web.ckpt",
    ),
    Mistake(
        "ckpt-pack --bundle bundle --container web=web.ckpt -o x",
        2,
        "--container has no effect without --pod-config",
        "add --pod-config FILE",
    ),
    Mistake("ckpt-pack --bundle bundle --flatten", 2, "--flatten has no effect without --from-archive", ""),
    Mistake("ckpt-pack --bundle bundle --self-contained", 2, "has no effect without --base", ""),
    Mistake(
        "ckpt-pack --from-archive web.ckpt --base web.ckpt",
        2,
        "--base with --from-archive requires --flatten",
        "",
    ),
    Mistake("ckpt-pack --bundle bundle --parent-path x", 2, "'--parent-path'", "tip: --base EARLIER.ckpt"),
    Mistake("ckpt-pack --bundle bundle --ignore-rootfs --base nothere", 1, "nothere: No such file", ""),
    Mistake(
        "ckpt-pack --bundle bundle --page-index i",
        2,
        "--page-index has no effect without --precopy or COMMAND",
        "add --precopy, or -- runc checkpoint ID",
    ),
    Mistake(
        "ckpt-pack --precopy --page-index i",
        2,
        "--precopy needs the container's first process",
        "add --pid PID",
    ),
    Mistake("ckpt-pack --bundle bundle vol.tar -o new.ckpt", 1, "vol.tar: /: not a member", "--members"),
    Mistake(
        "vol-archive create vol | ckpt-pack --bundle bundle -o new.ckpt -",
        1,
        "standard input: /: not a member",
        "--members",
    ),
    Mistake("ckpt-pack --bundle bundle --compress lz4", 2, "'lz4'", "none, gzip, zstd, xz, bzip2"),
    Mistake(
        "ckpt-pack --bundle bundle --ignore-rootfs --compress zstd --level 99",
        2,
        "--level: expected 1 to 22 for zstd, found 99",
        "",
    ),
    Mistake(
        "ckpt-pack --bundle bundle --ignore-rootfs --level 3",
        2,
        "--level has no effect without --compress",
        "--compress zstd",
    ),
    Mistake(
        "ckpt-pack --bundle bundle --ignore-rootfs --member foo=text",
        2,
        "--member: foo: not a member",
        "FILES in ckpt-pack(1)",
    ),
    Mistake(
        "ckpt-pack --bundle bundle --ignore-rootfs --member text",
        2,
        "'--member <NAME=FILE>'",
        "expected NAME=VALUE",
    ),
    Mistake(
        "ckpt-pack --bundle bundle --ignore-rootfs --format oci --compress xz -o x",
        2,
        "--format oci: the layers of an image",
        "",
    ),
    Mistake(
        "ckpt-pack --bundle bundle --pre-checkpoint --with-previous",
        2,
        "cannot be used with '--with-previous'",
        "",
    ),
    Mistake(
        "vol-archive create --members v=vol | ckpt-pack --bundle bundle -o new.ckpt",
        1,
        "rootfs-diff.tar: missing",
        "hint: add '-' to read standard input, which is a pipe",
    ),
    Mistake(
        "{ vol-archive create --members v=gone; vol-archive create --members w=vol; } | ckpt-pack --bundle bundle -o new.ckpt -",
        1,
        "standard input: vol-archive failed: ",
        "",
    ),
    Mistake("ckpt-pack --bundle bundle --export x", 2, "'--export'", "tip: -o FILE"),
    Mistake("ckpt-pack --bundle bundle -e x", 2, "'-e'", "tip: -o FILE"),
    Mistake("ckpt-pack --bundle bundle -f x", 2, "'-f'", "tip: -o FILE"),
    Mistake("ckpt-pack --bundle bundle -z", 2, "'-z'", "tip: --compress zstd"),
    Mistake(
        "ckpt-pack --bundle bundle runc checkpoint web",
        2,
        "runc: expected a member stream, found the name of a program",
        "put -- before the command: -- runc checkpoint",
    ),
    Mistake(
        "ckpt-pack --bundle bundle --leave-running",
        2,
        "'--leave-running'",
        "runc checkpoint --leave-running",
    ),
    Mistake("ckpt-pack --bundle bundle --tcp-established", 2, "'--tcp-established'", "runc checkpoint --tcp"),
    Mistake("ckpt-pack version", 2, "--bundle <DIR>", "tip: '--version' exists"),
    Mistake("ckpt-pack --check web.ckpt", 2, "--check inspects this host", "ckpt-unpack --verify ARCHIVE"),
    Mistake("ckpt-pack --bundle link", 1, "link: is a link to gone, which does not exist", ""),
];

const CKPT_UNPACK: &[Mistake] = &[
    Mistake(
        "ckpt-unpack --list --base web.ckpt web.ckpt",
        2,
        "'--list' cannot be used with '--base <FILE>'",
        "",
    ),
    Mistake(
        "ckpt-unpack --bundle new --base web.ckpt web.ckpt",
        1,
        "--base: the archive names no base",
        "leave out --base",
    ),
    Mistake("ckpt-unpack", 2, "--bundle <DIR>", "Usage: ckpt-unpack"),
    Mistake("ckpt-unpack --bundle new nothere.ckpt", 1, "nothere.ckpt: No such file or directory", ""),
    Mistake("ckpt-unpack --bundle new < text", 1, "standard input: expected a tar, found text", ""),
    Mistake("ckpt-unpack --bundle new < nothing", 1, "is empty, expected an archive", ""),
    Mistake("ckpt-unpack --bundle new cut.ckpt", 1, "cut.ckpt: ", ""),
    Mistake("ckpt-unpack --bundle new vol", 1, "vol: image: has neither index.json nor manifest.json", ""),
    Mistake(
        "ckpt-unpack --bundle new --rootfs nothere web.ckpt",
        1,
        "nothere: No such file or directory",
        "",
    ),
    Mistake(
        "ckpt-unpack --bundle full --ignore-volumes web.ckpt",
        1,
        "full/config.dump: already exists",
        "choose another directory for --bundle",
    ),
    Mistake(
        "ckpt-unpack --bundle new --volume v1=other web.ckpt",
        1,
        "no directory given for this volume",
        "--volume ",
    ),
    Mistake(
        "ckpt-unpack --bundle new --volume v1=other --ignore-volumes web.ckpt",
        2,
        "cannot be used with",
        "",
    ),
    Mistake(
        "ckpt-unpack --bundle new --volume v1 web.ckpt",
        2,
        "'--volume <NAME=DIR>'",
        "expected NAME=VALUE",
    ),
    Mistake(
        "ckpt-unpack --bundle new pod.tar",
        1,
        "is a pod archive of the containers web",
        "--container NAME",
    ),
    Mistake("ckpt-unpack --bundle new --container x pod.tar", 1, "x: not a container of the pod", ""),
    Mistake(
        "ckpt-unpack --list --container web web.ckpt",
        2,
        "web.ckpt is not a pod archive",
        "leave out --container",
    ),
    Mistake(
        "ckpt-unpack --cat config.dump pod.tar",
        1,
        "config.dump: not in the archive",
        "add --container NAME",
    ),
    Mistake(
        "ckpt-unpack --show --html pod.tar",
        2,
        "--html has no effect with all containers",
        "add --container NAME",
    ),
    Mistake("ckpt-unpack --list --verify web.ckpt", 2, "'--list' cannot be used with '--verify'", ""),
    Mistake("ckpt-unpack --verify cut.ckpt", 1, "cut.ckpt: ", ""),
    Mistake("ckpt-unpack --show vol.tar", 1, "vol.tar: not a checkpoint archive", ""),
    Mistake("gzip -c web.ckpt | ckpt-unpack --list", 1, "expected a tar inside the gzip stream, found", ""),
    Mistake("ckpt-unpack web.ckpt", 2, "<--bundle <DIR>|--list|--verify|--show|", "Usage: ckpt-unpack"),
    Mistake("ckpt-unpack show web.ckpt", 2, "--list|--verify|--show", "tip: '--show' exists"),
    Mistake("ckpt-unpack help", 2, "--bundle <DIR>", "tip: '--help' exists"),
    Mistake("ckpt-unpack --bundle new --layer layer web.ckpt", 2, "--rootfs <DIR>", ""),
    Mistake("ckpt-unpack --bundle new --volume v1:other web.ckpt", 2, "'v1:other'", "write v1=other"),
    Mistake("ckpt-unpack --bundle new --volume ./other:v1 web.ckpt", 2, "'./other:v1'", "write v1=./other"),
    Mistake("ckpt-unpack --bundle new --volume ./other=v1 web.ckpt", 2, "'./other=v1'", "write v1=./other"),
    Mistake("ckpt-unpack --bundle new -v v1=other web.ckpt", 2, "'web.ckpt'", "tip: write --volume v1=other"),
    Mistake("ckpt-unpack --bundle new --volumes v1=other web.ckpt", 2, "'--volumes'", "'--volume'"),
    Mistake("ckpt-unpack --list web.ckpt cut.ckpt", 2, "'cut.ckpt'", "give one ARCHIVE at a time"),
    Mistake("ckpt-unpack --verify *.ckpt", 2, "'cut.ckpt'", "give one ARCHIVE at a time"),
    Mistake("ckpt-unpack --show --env web.ckpt cut.ckpt", 2, "--env has no effect on a table", ""),
    Mistake(
        "ckpt-unpack memparse web.ckpt",
        2,
        "--list|--verify|--show",
        "tip: --search REGEX, or --dump-memory",
    ),
    Mistake("ckpt-unpack diff web.ckpt cut.ckpt", 2, "--list|--verify|--show", "tip: --compare A B"),
    Mistake("ckpt-unpack --search 'a(' web.ckpt", 2, "invalid value 'a('", "unclosed group"),
    Mistake("ckpt-unpack --search 'a*' web.ckpt", 2, "matches the empty string", ""),
    Mistake(
        "cat web.ckpt | ckpt-unpack --search a",
        1,
        "a pipe cannot be read twice",
        "write the archive to a file",
    ),
    Mistake("ckpt-unpack --dump-memory x web.ckpt", 2, "expected PID or PID:START-END", ""),
    Mistake("ckpt-unpack --dump-memory 1:9-5 web.ckpt", 2, "the end is not after the start", ""),
    Mistake("ckpt-unpack --show --hex web.ckpt", 2, "--hex has no effect without --dump-memory", ""),
    Mistake("ckpt-unpack --show --pid 1 web.ckpt", 2, "--pid has no effect without --search", ""),
    Mistake("ckpt-unpack --compare web.ckpt", 2, "2 values required", ""),
    Mistake("ckpt-unpack --show --redact web.ckpt", 2, "--redact has no effect without --html", ""),
    Mistake("ckpt-unpack --list --html web.ckpt", 2, "--html has no effect without --show", ""),
    Mistake("ckpt-unpack --show --html --env web.ckpt", 2, "'--html' cannot be used with '--env'", ""),
    Mistake("ckpt-unpack --list --env web.ckpt", 2, "--env has no effect without --show", ""),
    Mistake("ckpt-unpack --bundle my dir/new web.ckpt", 2, "'web.ckpt'", "quote a name that contains spaces"),
    Mistake("ckpt-unpack --import web.ckpt", 2, "'--import'", "tip: ckpt-unpack --bundle DIR ARCHIVE"),
    Mistake("ckpt-unpack -i web.ckpt", 2, "'-i'", "tip: ckpt-unpack --bundle DIR ARCHIVE"),
    Mistake("ckpt-unpack -xf web.ckpt", 2, "'-x'", "tip: ckpt-unpack --bundle DIR ARCHIVE"),
    Mistake("ckpt-unpack -C new web.ckpt", 2, "'-C'", "tip: --bundle DIR"),
    Mistake(
        "ckpt-unpack --json web.ckpt",
        2,
        "--list|--verify|--show",
        "tip: --json goes with --list, --show, --search or --compare",
    ),
    Mistake(
        "ckpt-unpack --bundle new --json web.ckpt",
        2,
        "--json has no effect without --list, --show, --search or --compare",
        "",
    ),
    Mistake("ckpt-unpack --progress always --list web.ckpt", 2, "'web.ckpt'", "tip: write --progress=always"),
    Mistake("ckpt-unpack --check --rootfs tree", 2, "--rootfs has no effect", "without ARCHIVE"),
    Mistake("true | ckpt-unpack --list", 1, "standard input: is empty, expected an archive", ""),
    Mistake(
        "ckpt-unpack --list page.ckpt",
        1,
        "page.ckpt: expected a tar, found an HTML page",
        "curl -fL URL",
    ),
    Mistake("ckpt-unpack --list pointer.ckpt", 1, "found a Git LFS pointer", "git lfs pull"),
    Mistake(
        "ckpt-unpack --list age.ckpt",
        1,
        "age.ckpt: expected a tar, found an age-encrypted file",
        "age -d -i KEY",
    ),
    Mistake("ckpt-unpack --list lz4.ckpt", 1, "found lz4-compressed data", "lz4 -dc FILE |"),
    Mistake("ckpt-unpack --list zip.ckpt", 1, "found a zip archive", "unzip FILE"),
    Mistake("ckpt-unpack --bundle link web.ckpt", 1, "link: is a link to gone, which does not exist", ""),
    Mistake(
        "ckpt-unpack --bundle other --rootfs other web.ckpt",
        2,
        "the same directory as --bundle other",
        "",
    ),
    Mistake("ckpt-unpack --list --max-size 1x web.ckpt", 2, "'1x'", "k, m, g, t or p (powers of 1024)"),
    Mistake("ckpt-unpack --list --max-size 1KB web.ckpt", 1, "more than 1024 bytes", "--max-size SIZE"),
];

const NETSTATUS: &[Mistake] = &[
    Mistake(
        "netstatus save object.json nothere",
        2,
        "object.json: several files are allowed only for CNI results",
        "",
    ),
    Mistake("netstatus save < nothing", 1, "standard input: is empty, expected JSON", ""),
    Mistake("netstatus save < cut.json", 1, "standard input: not valid JSON", ""),
    Mistake("netstatus save nothere", 1, "nothere: No such file or directory", ""),
    Mistake("netstatus save --netns nothere", 1, "nothere: No such file or directory", ""),
    Mistake(
        "netstatus restore < network.status",
        2,
        "--to <FORMAT>",
        "Usage: netstatus restore --to <FORMAT>",
    ),
    Mistake("netstatus restore --to netvark < network.status", 2, "'netvark'", "'netavark'"),
    Mistake("netstatus restore --to netavark < network.status", 2, "container_id", "--container-id"),
    Mistake("echo null | netstatus restore --to netavark", 1, "the container has no network to restore", ""),
    Mistake("netstatus hold", 2, "--netns <PATH>", "Usage: netstatus hold"),
    Mistake("netstatus hold --netns text", 1, "text: not a network namespace", ""),
    Mistake("netstatus show text", 1, "text: not valid JSON", ""),
    Mistake("netstatus hold web", 2, "'web'", "tip: --netns /run/netns/NAME"),
    Mistake("netstatus hold --netns gone", 1, "gone: No such file", "--netns /run/netns/gone"),
    Mistake("netstatus release --netns gone", 1, "gone: No such file", "--netns /run/netns/gone"),
    Mistake(
        "netstatus check --netns gone network.status",
        1,
        "gone: No such file",
        "--netns /run/netns/gone",
    ),
    Mistake("netstatus save --netns 4711", 1, "4711: No such file", "--netns /proc/4711/ns/net"),
    Mistake("netstatus show web.ckpt", 1, "expected JSON, found xz-compressed data", "DIR/network.status"),
    Mistake("netstatus show page.ckpt", 1, "expected JSON, found an HTML page", "curl -fL URL"),
    Mistake("netstatus --json show network.status", 2, "'--json'", "'show --json' exists"),
];

const SPEC_GEN: &[Mistake] = &[
    Mistake("spec-gen < cut.json", 1, "standard input: not valid JSON", ""),
    Mistake("spec-gen < object.json", 1, "standard input: neither an OCI spec (key ociVersion)", "--new"),
    Mistake("spec-gen bundle/config.json", 2, "unexpected argument 'bundle/config.json'", "-i FILE"),
    Mistake("spec-gen --new sh", 2, "unexpected argument 'sh'", "[-- ARGS...]"),
    Mistake("spec-gen --new --hostnam x", 2, "'--hostnam'", "'--hostname'"),
    Mistake("spec-gen --new --restore", 2, "'--new' cannot be used with '--restore'", ""),
    Mistake("spec-gen --new --rootfs nothere", 1, "nothere: No such file or directory", ""),
    Mistake(
        "spec-gen --new --user nosuch --rootfs vol",
        1,
        "user nosuch: unable to find user nosuch",
        "--user UID:GID",
    ),
    Mistake("spec-gen --new -v data", 2, "--volume data: expected [SRC:]DST[:OPTIONS]", ""),
    Mistake(
        "spec-gen --new -v cache:/data",
        1,
        "volume cache: its directory is not known",
        "--volume-path cache=DIR",
    ),
    Mistake("spec-gen --new --memory 10X", 2, "'10X'", "a number of bytes, or one with k, m, g, t or p"),
    Mistake("spec-gen --new --cap-add NOSUCH", 2, "--cap-add NOSUCH: not a capability", ""),
    Mistake("spec-gen --new --network banana", 2, "'banana'", "host, private, none, ns:PATH"),
    Mistake("spec-gen --new --device /dev/nothere", 1, "--device /dev/nothere: No such file", ""),
    Mistake(
        "spec-gen --new --mount type=bind,src=/x",
        2,
        "--mount type=bind,src=/x: dst=PATH is missing",
        "",
    ),
    Mistake(
        "spec-gen --restore < bundle/config.json",
        1,
        "root.path: rootfs: belongs to the host on which the checkpoint was made",
        "--rootfs DIR",
    ),
    Mistake("spec-gen < nothing", 1, "standard input: is empty, expected JSON", "--new"),
    Mistake("spec-gen --restore < web.ckpt", 1, "found xz-compressed data", "ckpt-unpack --bundle DIR FILE"),
    Mistake("spec-gen --restore < vol.tar", 1, "found a tar archive", "then read DIR/spec.dump"),
    Mistake("spec-gen web.ckpt", 2, "'web.ckpt'", "tip: write --input web.ckpt"),
    Mistake("spec-gen --new sh -c id", 2, "'sh'", "tip: put -- before the command: -- sh ..."),
    Mistake("spec-gen --new --tty false", 2, "'false'", "tip: write --tty=false"),
    Mistake("spec-gen --new --read-only false -- sh", 2, "'false'", "tip: write --read-only=false"),
    Mistake("spec-gen --new -e A = b", 2, "'='", "tip: write NAME=VALUE without spaces"),
    Mistake(
        "spec-gen --restore --entrypoint x",
        2,
        "'--restore' cannot be used with '--entrypoint <COMMAND>'\n",
        "",
    ),
    Mistake(
        "spec-gen --restore -e A=b --user 0",
        2,
        "'--restore' cannot be used with:\n  --env <NAME[=VALUE]>\n  --user <USER[:GROUP]>\n\n",
        "",
    ),
    Mistake("spec-gen --new -p 80:80", 2, "'-p'", "netstatus restore --to netavark --publish"),
    Mistake("spec-gen --new -d", 2, "'-d'", "tip: runc run --detach"),
    Mistake("spec-gen --new --rm", 2, "'--rm'", "tip: leave it out"),
    Mistake("spec-gen --new --name x", 2, "'--name'", "tip: runc run NAME"),
    Mistake("spec-gen --new --restart always", 2, "'--restart'", "no restart policy"),
    Mistake("spec-gen --new -it", 2, "cannot be used with '--input", "tip: --tty (-i is --input FILE)"),
    Mistake("spec-gen --new --network /run/netns/web", 2, "'/run/netns/web'", "write ns:/run/netns/web"),
    Mistake("spec-gen --new --network ns:web", 2, "'ns:web'", "such as ns:/run/netns/web"),
    Mistake("spec-gen --new -v data=/data", 2, "--volume data=/data", "write data:/data"),
    Mistake("spec-gen --new --volume-path data:/d", 2, "'data:/d'", "write data=/d"),
    Mistake(
        "spec-gen --new --actions -",
        2,
        "--actions -: the result is written to the same file",
        "-o config.json",
    ),
];

/// Creates a directory with bundles, volumes, and complete and truncated archives.
fn workdir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for made in ["bundle/checkpoint", "running", "vol", "other", "full"] {
        fs::create_dir_all(at(made)).unwrap();
    }
    let spec = r#"{"ociVersion":"1.2.0","root":{"path":"rootfs"},"process":{"user":{"uid":0,"gid":0},"args":["sh"],"cwd":"/"},"mounts":[]}"#;
    for bundle in ["bundle", "running"] {
        fs::write(at(bundle).join("config.json"), spec).unwrap();
    }
    fs::write(at("bundle/checkpoint/inventory.img"), "x").unwrap();
    fs::write(at("full/config.dump"), "{}").unwrap();
    // Incompressible, so that the compressed archive has more than one block.
    let noise: Vec<u8> = (0..4096u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 21) as u8).collect();
    fs::write(at("vol/file"), noise).unwrap();
    for (name, text) in [
        ("pod.json", r#"{"metadata":{"name":"shop"}}"#),
        ("text", "hi\n"),
        ("nothing", ""),
        ("object.json", "{\"a\": 1}"),
        ("cut.json", "{\"a\":"),
        ("page.ckpt", "<!DOCTYPE html>\n<html>404"),
        ("pointer.ckpt", "version https://git-lfs.github.com/spec/v1\n"),
        ("age.ckpt", "age-encryption.org/v1\n-> X25519 "),
        ("zip.ckpt", "PK\x03\x04"),
        ("lz4.ckpt", "\x04\"M\x18"),
    ] {
        fs::write(at(name), text).unwrap();
    }
    std::os::unix::fs::symlink("gone", at("link")).unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let archive = fs::read(data.join("ckpt-unpack/tests/data/g04-volumes.tar.xz")).unwrap();
    fs::write(at("web.ckpt"), &archive).unwrap();
    fs::write(at("cut.ckpt"), &archive[..5000]).unwrap();
    fs::copy(data.join("netstatus/tests/data/podman/one.network.status"), at("network.status")).unwrap();
    let made = typed("vol-archive create vol > vol.tar && gzip -c vol.tar | gzip > twice.tar.gz", dir.path());
    assert!(made.status.success(), "{made:?}");
    let packed = typed("ckpt-pack --pod-config pod.json --container web=web.ckpt -o pod.tar", dir.path());
    assert!(packed.status.success(), "{packed:?}");
    dir
}

fn typed(line: &str, dir: &Path) -> Output {
    let bin = tool("spec-gen").parent().unwrap().to_owned();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut bash = Command::new("bash");
    bash.args(["-o", "pipefail", "-c", line]).current_dir(dir).env("PATH", path);
    bash.stdin(Stdio::null()).output().unwrap()
}

fn tree(dir: &Path) -> BTreeSet<String> {
    let listed = Command::new("find").arg(dir).args(["-printf", "%P %s %y\n"]).output().unwrap();
    String::from_utf8(listed.stdout).unwrap().lines().map(|line| line.to_owned()).collect()
}

fn judge(Mistake(line, status, error, help): &Mistake, dir: &Path) -> Result<(), String> {
    let before = tree(dir);
    let output = typed(line, dir);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let wrong = |what: &str| Err(format!("{line}\n  {what}\n{stderr}"));
    if output.status.code() != Some(*status) {
        return wrong(&format!("status {:?}, not {status}", output.status.code()));
    }
    let name = line.rsplit("| ").next().and_then(|last| last.split(' ').next()).unwrap_or_default();
    let first = stderr.lines().position(|line| line.starts_with(&format!("{name}: error: ")));
    let Some(first) = first else { return wrong("no error message with the tool's name") };
    let message: String = stderr.lines().skip(first).flat_map(|line| [line, "\n"]).collect();
    if !message.contains(error) {
        return wrong(&format!("the error lacks {error:?}"));
    }
    if !message.contains(help) {
        return wrong(&format!("the help lacks {help:?}"));
    }
    for never in ["os error", "panicked", "failed to", "Error {", "internal error", "Some("] {
        if stderr.contains(never) {
            return wrong(&format!("a message contains {never:?}"));
        }
    }
    // A producer of a member stream writes only a failure record.
    let last = line.rsplit("| ").next().unwrap_or_default();
    let expected = if last.contains("create --member") { &b".failed\0"[..] } else { b"" };
    if !output.stdout.starts_with(expected) || (expected.is_empty() && !output.stdout.is_empty()) {
        return wrong("unexpected output, or no failure record");
    }
    if tree(dir) != before {
        return wrong("files were changed");
    }
    Ok(())
}

fn all_have_helpful_errors(mistakes: &[Mistake]) {
    let dir = workdir();
    let wrong: Vec<String> = mistakes.iter().filter_map(|m| judge(m, dir.path()).err()).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn mistakes_with_vol_archive_have_helpful_errors() {
    all_have_helpful_errors(VOL_ARCHIVE);
}

#[test]
fn mistakes_with_rootfs_diff_have_helpful_errors() {
    all_have_helpful_errors(ROOTFS_DIFF);
}

#[test]
fn mistakes_with_ckpt_pack_have_helpful_errors() {
    all_have_helpful_errors(CKPT_PACK);
}

#[test]
fn mistakes_with_ckpt_unpack_have_helpful_errors() {
    all_have_helpful_errors(CKPT_UNPACK);
}

#[test]
fn mistakes_with_netstatus_have_helpful_errors() {
    all_have_helpful_errors(NETSTATUS);
}

#[test]
fn mistakes_with_spec_gen_have_helpful_errors() {
    all_have_helpful_errors(SPEC_GEN);
}

#[ignore = "needs root"]
#[test]
fn an_unprivileged_check_names_only_the_missing_capabilities() {
    let dir = workdir();
    for tool in ["ckpt-pack", "ckpt-unpack"] {
        let output = typed(&format!("setpriv --bounding-set -all {tool} --check"), dir.path());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let expected =
            "error: CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_CHECKPOINT_RESTORE missing\nhint: run as root\n";
        assert_eq!(stderr, format!("{tool}: {expected}"));
    }
}

#[test]
fn an_interrupted_extraction_names_the_incomplete_directory() {
    let dir = workdir();
    fs::write(dir.path().join("vol/large"), vec![1; 1 << 20]).unwrap();
    let output = typed(
        "mkfifo tar; vol-archive extract --replace other <tar & tool=$!; exec 3>tar
         vol-archive create vol | head -c 900000 >&3
         for _ in {1..1200}; do [ ! -s other/large ] || break; sleep 0.05; done; kill $tool; wait $tool",
        dir.path(),
    );
    let stderr = String::from_utf8_lossy(&output.stderr);
    let expected = "vol-archive: error: other: may be incomplete, extract the volume again with --replace\n";
    assert!(stderr.contains(expected), "{stderr}");
}
