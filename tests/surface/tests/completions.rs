//! Completions of bash, zsh and fish, as the shells request them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use harness::tools::tool;
use surface::TOOLS;
use tempfile::TempDir;

/// Writes all scripts of one shell to a directory, under the names that `make install` uses.
fn scripts(shell: &str, file: impl Fn(&str) -> String) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for tool in TOOLS {
        let output = Command::new(self::tool(tool)).args(["--completions", shell]).output().unwrap();
        assert!(output.status.success(), "{tool}: {output:?}");
        fs::write(dir.path().join(file(tool)), output.stdout).unwrap();
    }
    dir
}

/// Creates a directory with `sub/`, `file` and the archive `web.ckpt`, for the completion of file
/// names and volumes. The archive has a member whose name a shell could run.
fn place() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let script = r#"
        mkdir x && cd x && tar xf "$1" && touch 'volumes/$(touch RAN).tar' 'volumes/`touch RAN`.tar' &&
            tar cf ../web.ckpt * && cd .. && rm -r x
    "#;
    let archive =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ckpt-unpack/tests/data/g04-volumes.tar.xz");
    run(Command::new("bash").args(["-c", script, "bash"]).arg(archive).current_dir(dir.path()));
    dir
}

fn words(text: &str) -> BTreeSet<String> {
    // fish prints a description after a tab.
    text.lines()
        .map(|line| line.split('\t').next().unwrap_or_default().trim().to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the completions that a shell offers for the last word of a line.
type Offer<'a> = dyn Fn(&str) -> BTreeSet<String> + 'a;

/// Checks that `offer`, of any shell, offers the right words.
fn judge(offer: &Offer) {
    let has = |line: &str, expected: &[&str]| {
        let offered = offer(line);
        for word in expected {
            assert!(offered.contains(*word), "{line:?}: {word} is not among {offered:?}");
        }
        offered
    };
    has("rootfs-diff ", &["create", "apply", "list"]);
    has("vol-archive ", &["create", "extract", "list"]);
    has("netstatus ", &["save", "restore", "apply", "check", "show", "hold", "release"]);
    let create = has("rootfs-diff create --", &["--members", "--rootfs", "--upper", "--lower", "--output"]);
    assert!(!create.contains("--dry-run"), "offers an option of another verb: {create:?}");
    has("rootfs-diff apply --d", &["--deleted", "--dry-run"]);
    has("ckpt-pack --compress ", &["none", "gzip", "zstd", "xz", "bzip2"]);
    has("netstatus restore --to n", &["netavark"]);
    has("ckpt-unpack --ve", &["--verify", "--verbose"]);
    has("spec-gen --rest", &["--restore"]);
    let words = has("spec-gen ", &["lookup-user"]);
    assert!(!words.contains("help"), "offers a verb that does not exist: {words:?}");
    assert_eq!(offer("spec-gen --linux-device-a"), BTreeSet::new(), "offers a hidden option");
    let look_up = has("spec-gen lookup-user --", &["--rootfs", "--group-add", "--output", "--quiet"]);
    assert!(!look_up.contains("--restore"), "offers an option of another verb: {look_up:?}");
    assert!(!offer("spec-gen --compl").contains("--completions"), "offers a hidden option");
    let modes = ["host", "private", "none", "ns:", "container:"];
    has("spec-gen --network ", &modes);
    has("spec-gen --userns ", &["keep-id", "ns:"]);
    has("spec-gen --cap-add CAP_NET_", &["CAP_NET_ADMIN", "CAP_NET_RAW"]);
    has("spec-gen --cap-drop A", &["ALL"]);
    has("spec-gen --compat ", &["none", "podman-4.3", "podman-5.4"]);
    has("spec-gen --ulimit n", &["nofile=", "nproc="]);
    has("ckpt-pack --expect ", &["rootfs-diff", "volume:", "network", "shm"]);
    has("ckpt-unpack --runtime ", &["runc", "crun"]);
}

/// Checks that the volumes of the archive are offered, and that no name in it was run.
fn offers_volumes(offered: &BTreeSet<String>, place: &Path) {
    let names: BTreeSet<&str> = offered.iter().map(|name| name.trim_end_matches('=')).collect();
    assert!(names.is_superset(&BTreeSet::from(["v1", "v2"])), "{offered:?}");
    assert!(!names.iter().any(|name| name.contains("touch")), "{offered:?}");
    assert!(!place.join("RAN").exists(), "a name from the archive was run");
}

#[test]
fn bash_completes_verbs_options_values_and_names() {
    let scripts = scripts("bash", |tool| tool.into());
    let place = place();
    let ask = |line: &str| {
        // Like readline: sets the words of the line, then calls the function that "complete"
        // registered.
        let script = r#"
            # compopt works only during a completion. Its option "plusdirs" also offers directories.
            compopt() { case "$*" in *plusdirs*) plusdirs=1 ;; esac; }
            for script in "$1"/*; do . "$script"; done
            cd "$2"
            read -ra COMP_WORDS <<<"$3"
            case $3 in *' ') COMP_WORDS+=('') ;; esac
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$3 COMP_POINT=${#3}
            function=$(complete -p "${COMP_WORDS[0]}" | sed -E 's/.*-F ([^ ]+) .*/\1/')
            "$function" "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
            [ -n "${plusdirs-}" ] && compgen -d -- "${COMP_WORDS[COMP_CWORD]}"
            printf '%s\n' "${COMPREPLY[@]}"
        "#;
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", script, "bash"]).args([scripts.path(), place.path()]).arg(line);
        bash.env("PATH", path());
        words(&run(&mut bash))
    };
    judge(&ask);
    assert_eq!(ask("ckpt-unpack --bundle s"), BTreeSet::from(["sub".into()]));
    assert_eq!(ask("ckpt-unpack --bundle f"), BTreeSet::new(), "--bundle takes a directory");
    offers_volumes(&ask("ckpt-unpack web.ckpt --volume v"), place.path());
}

#[ignore = "needs fish"]
#[test]
fn fish_completes_verbs_options_values_and_names() {
    let scripts = scripts("fish", |tool| format!("{tool}.fish"));
    let place = place();
    let home = tempfile::tempdir().unwrap();
    let ask = |line: &str| {
        let script = format!(
            "for script in {}/*; source $script; end; cd {}; complete -C '{line}'",
            scripts.path().display(),
            place.path().display()
        );
        let mut fish = Command::new("fish");
        // fish completes only commands that exist.
        fish.env("HOME", home.path()).env("PATH", path()).args(["--no-config", "-c", &script]);
        words(&run(&mut fish))
    };
    judge(&ask);
    assert!(ask("ckpt-unpack --bundle ").contains("sub/"));
    offers_volumes(&ask("ckpt-unpack web.ckpt --volume v"), place.path());
    assert!(!ask("ckpt-unpack --bundle ").contains("file"), "a file is no bundle");
}

#[ignore = "needs zsh"]
#[test]
fn zsh_completes_verbs_options_values_and_names() {
    let scripts = scripts("zsh", |tool| format!("_{tool}"));
    let place = place();
    let ask = |line: &str| zsh_offers(scripts.path(), place.path(), line);
    judge(&ask);
    assert!(ask("ckpt-unpack --bundle ").contains("sub"));
    assert!(!ask("ckpt-unpack --bundle ").contains("file"), "a file is no bundle");
    // Regression: zsh took colons in the name of a value as the end of the description, and ran the
    // rest.
    let files = ["file", "sub", "web.ckpt"].map(String::from);
    assert_eq!(ask("vol-archive create --uidmap "), BTreeSet::from(files));
    offers_volumes(&ask("ckpt-unpack web.ckpt --volume v"), place.path());
}

/// Returns the completions that zsh offers: runs zsh in a terminal and logs calls of `compadd`.
fn zsh_offers(scripts: &Path, place: &Path, line: &str) -> BTreeSet<String> {
    let script = r#"
        zmodload zsh/zpty
        zpty inner zsh -f -i
        zpty -w inner "PROMPT= ; fpath=($1 \$fpath); cd $2; autoload -Uz compinit; compinit -D -u; source $3; print REA''DY"
        while zpty -r inner out; do [[ $out == *READY* ]] && break; done
        zpty -w -n inner "$4"$'\x18'
        while zpty -r inner out '*>>*'; do
            print -rn -- "$out"
            [[ $out == *'<<END>>'* ]] && break
        done
        zpty -d inner
    "#;
    let keys = r#"
        zstyle ':completion:*' insert-tab false
        compadd() {
            if (( ${@[(I)-(O|A|D)]} )); then builtin compadd "$@"; return; fi
            typeset -a __hits
            builtin compadd -A __hits "$@"
            local hit; for hit in $__hits; do print -r -- "<<$hit>>"; done
            builtin compadd "$@"
        }
        ask() { zle complete-word; zle kill-buffer; print -r -- '<<END>>'; }
        zle -N ask
        bindkey '^X' ask
    "#;
    let home = tempfile::tempdir().unwrap();
    let keys_file = home.path().join("keys");
    fs::write(&keys_file, keys).unwrap();
    let mut zsh = Command::new("timeout");
    zsh.args(["60", "zsh", "-f", "-c", script, "zsh"]).args([scripts, place, &keys_file]).arg(line);
    zsh.env("PATH", path()).env("HOME", home.path());
    let output = zsh.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let hits = text.split("<<").skip(1).filter_map(|part| part.split_once(">>")).map(|(hit, _)| hit);
    hits.filter(|hit| *hit != "END").map(str::to_owned).collect()
}

fn path() -> String {
    let tool = tool("spec-gen");
    let bin = tool.parent().unwrap().display();
    format!("{bin}:{}", std::env::var("PATH").unwrap_or_default())
}

#[ignore = "needs fish and zsh"]
#[test]
fn each_shell_can_parse_each_script() {
    for shell in ["bash", "zsh", "fish"] {
        let dir = scripts(shell, |tool| tool.into());
        for tool in TOOLS {
            run(Command::new(shell).arg("-n").arg(dir.path().join(tool)));
        }
    }
}

#[test]
fn an_unknown_shell_is_a_usage_error() {
    for args in [&["--completions"][..], &["--completions", "tcsh"], &["--completions", "bash", "zsh"]] {
        let output = Command::new(tool("ckpt-pack")).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty());
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("bash") && text.contains("zsh") && text.contains("fish"), "{text}");
    }
}
