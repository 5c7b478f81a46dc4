//! The command line of netstatus: arguments, standard input, exit status, standard output and
//! standard error.
//!
//! The specification of the tool defines the numbers of the cases. Cases without a number were
//! added later. Each case that fails must print nothing on standard output.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use harness::bounded::{self, HOSTILE, Stdin as Input};
use serde_json::{Value, json};

#[path = "cli/cases.rs"]
mod cases;

use cases::{CASES, Case, Out};

/// Runs netstatus in the directory of the test data.
fn netstatus(args: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_netstatus"))
        .args(args)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // netstatus does not read standard input if its arguments are invalid.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

fn data(name: &str) -> Vec<u8> {
    fs::read(format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR")))
        .unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(bytes)))
}

/// Runs a case. Returns an error that describes an unexpected result.
fn check_case(case: &Case) -> Result<(), String> {
    let stdin = match case.stdin.strip_prefix('@') {
        Some(file) => data(file),
        None => case.stdin.as_bytes().to_vec(),
    };
    let output = netstatus(case.args, &stdin);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let outputs = format!("\n{stdout}\n{stderr}");
    if output.status.code() != Some(case.status) {
        return Err(format!("status {:?}, not {}{outputs}", output.status.code(), case.status));
    }
    if !stderr.contains(case.stderr) || (case.stderr.is_empty() && !stderr.is_empty()) {
        return Err(format!("stderr lacks {:?}{outputs}", case.stderr));
    }
    if stderr.contains("panicked") || stderr.contains("internal error") {
        return Err(format!("a panic{outputs}"));
    }
    let fits = match case.stdout {
        Out::Nothing => stdout.is_empty(),
        Out::Is(text) => stdout == text,
        Out::Has(text) => stdout.contains(text),
        Out::Input => {
            stdout.trim_end_matches('\n').as_bytes() == stdin.strip_suffix(b"\n").unwrap_or(&stdin)
                && stdout.ends_with('\n')
        }
        Out::Json(text) => json_of(&output.stdout) == json_of(text.as_bytes()),
    };
    if fits { Ok(()) } else { Err(format!("stdout is not {:?}{outputs}", case.stdout)) }
}

/// Checks the cases for which `selected` returns `true`.
fn check_cases(selected: impl Fn(&Case) -> bool) {
    let cases: Vec<&Case> = CASES.iter().filter(|case| selected(case)).collect();
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| check_case(case).err().map(|e| format!("{}: {:?}: {e}", case.name, case.args)))
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} cases:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n---\n")
    );
}

/// `netstatus check` enters the network namespace of the host with setns(2), which needs root.
fn is_check(case: &Case) -> bool {
    case.args.first() == Some(&"check")
}

#[test]
fn every_case_has_the_expected_result() {
    check_cases(|case| !is_check(case));
}

#[ignore = "needs root"]
#[test]
fn every_case_of_check_has_the_expected_result() {
    check_cases(is_check);
}

#[test]
fn at_least_thirty_of_at_least_ninety_cases_fail() {
    let failing = CASES.iter().filter(|case| case.status != 0).count();
    assert!(CASES.len() >= 90, "{} cases", CASES.len());
    assert!(failing >= 30, "{failing} failing cases");
    let mut names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CASES.len(), "two cases have the same name");
}

const RECORDED: [&str; 12] = [
    "host", "macvlan", "nodns", "none", "one", "port", "route", "twoboth", "twoii", "twoim", "v6only",
    "userns",
];

#[test]
fn save_preserves_every_status_of_podman_byte_for_byte() {
    for name in RECORDED.iter().chain(&["aliasstatic", "nspath"]) {
        let status = data(&format!("podman/{name}.network.status"));
        let output = netstatus(&["save"], &status);
        assert!(output.status.success(), "{name}");
        assert_eq!(output.stdout, [&status[..], b"\n"].concat(), "{name}");
    }
}

#[test]
fn the_output_of_netavark_becomes_the_status_of_podman() {
    let mut compared = 0;
    for name in RECORDED {
        let answer = format!("podman/{name}.netavark-setup.out.json");
        if !fs::exists(format!("{}/tests/data/{answer}", env!("CARGO_MANIFEST_DIR"))).unwrap() {
            continue;
        }
        let output = netstatus(&["save"], &data(&answer));
        let saved = json_of(&output.stdout);
        let mut of_podman = json_of(&data(&format!("podman/{name}.network.status")));
        // podman adds the servers of --dns to the status, which netavark does not print.
        if name == "nodns" {
            of_podman["agdnodns"].take();
        }
        if name != "nodns" {
            assert_eq!(saved, of_podman, "{name}");
        }
        compared += 1;
    }
    assert_eq!(compared, 9);
}

/// The restored input must equal the input that podman passed to netavark for the new container.
#[test]
fn the_input_of_netavark_equals_that_of_podman() {
    for name in ["one", "port", "nodns", "macvlan", "route", "twoboth", "twoii", "twoim", "v6only"] {
        let base = format!("podman/{name}.netavark-setup.in.json");
        let status = data(&format!("podman/{name}.network.status"));
        let output = netstatus(&["restore", "--to", "netavark", "--base", &base], &status);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let mut restored = json_of(&output.stdout);
        let mut recorded = json_of(&data(&base));
        let networks = recorded["networks"].as_object_mut().unwrap();
        for (network, entry) in networks {
            // netavark chose the MAC of the new container, and the status contains this MAC.
            let mac =
                restored["networks"][network].as_object_mut().unwrap().shift_remove("static_mac").unwrap();
            let saved = &json_of(&status)[network]["interfaces"][entry["interface_name"].as_str().unwrap()];
            assert_eq!(mac, saved["mac_address"], "{name}");
            entry.as_object_mut().unwrap().shift_remove("static_mac");
        }
        assert_eq!(restored, recorded, "{name}");
    }
}

#[test]
fn case_14_dual_stack_equals_the_recorded_netavark_input() {
    let output = netstatus(
        &["restore", "--to", "netavark", "--base", "netavark/dualstack.in.json"],
        &data("netavark/dualstack.status.json"),
    );
    assert_eq!(json_of(&output.stdout), json_of(&data("netavark/dualstack.restore.in.json")));
}

#[test]
fn case_28_a_cni_configuration_equals_the_recorded_one() {
    for version in ["0.4.0", "1.0.0"] {
        let status =
            netstatus(&["save", "--network", "agdcni"], &data(&format!("cni/result-{version}-dual.json")));
        let base = format!("cni/conf-{version}-dual.json");
        let output = netstatus(&["restore", "--to", "cni", "--base", &base], &status.stdout);
        let mut expected = json_of(&data(&format!("cni/conf-{version}-dual-restore.json")));
        expected["ipam"]["dataDir"] = json_of(&data(&base))["ipam"]["dataDir"].clone();
        assert_eq!(
            json_of(&output.stdout),
            expected,
            "{version}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn case_28b_the_cni_result_of_the_restore_has_the_same_status() {
    for version in ["0.4.0", "1.0.0"] {
        let save = |name: &str| {
            netstatus(&["save", "--network", "n"], &data(&format!("cni/result-{version}-{name}.json"))).stdout
        };
        assert_eq!(save("dual"), save("dual-restore"), "{version}");
    }
}

/// Runs "netstatus save" with the limits of processor time and memory for hostile input.
fn bounded_save(input: Vec<u8>) -> bounded::Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netstatus"));
    command.arg("save");
    let run = bounded::run(command, Input::Pipe(input), &HOSTILE);
    assert_eq!(run.breaks("netstatus", &HOSTILE), Vec::<String>::new());
    run
}

#[test]
fn case_43_huge_deep_and_truncated_documents_fail_quickly() {
    let huge = [b"{\"n\":\"".to_vec(), vec![b'x'; 2 << 20], b"\"}".to_vec()].concat();
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let deep_object = [b"{\"a\":".repeat(200), b"1".to_vec(), b"}".repeat(200)].concat();
    let utf16: Vec<u8> = "{\"n\":{}}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let complete = data("podman/one.network.status");
    let mut inputs: Vec<Vec<u8>> = vec![huge, deep, deep_object, utf16, vec![0xff; 1000], vec![0; 1000]];
    inputs.extend((0..complete.len() - 1).map(|length| complete[..length].to_vec()));
    for input in inputs {
        let head = String::from_utf8_lossy(&input[..input.len().min(60)]).into_owned();
        let run = bounded_save(input);
        assert_eq!(run.code, Some(1), "{head}");
        assert!(run.stdout.is_empty());
        assert!(run.stderr.starts_with("netstatus: error: standard input: "), "{}", run.stderr);
    }
}

#[test]
fn case_47_a_thousand_networks_are_sorted() {
    let network = |i: usize| {
        let (a, b) = (i / 250, i % 250 + 2);
        json!({"interfaces": {format!("eth{i}"): {"subnets": [{"ipnet": format!("10.{a}.0.{b}/16")}],
               "mac_address": format!("02:00:00:00:{:02x}:{:02x}", i / 256, i % 256)}}})
    };
    let all: serde_json::Map<String, Value> =
        (0..1000).rev().map(|i| (format!("net{i:04}"), network(i))).collect();
    let first = bounded_save(Value::Object(all).to_string().into_bytes());
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let names: Vec<String> = json_of(&first.stdout).as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, (0..1000).map(|i| format!("net{i:04}")).collect::<Vec<_>>());
    assert_eq!(netstatus(&["save"], &first.stdout).stdout, first.stdout);
    assert_eq!(
        netstatus(&["restore", "--to", "podman"], &first.stdout)
            .stdout
            .iter()
            .filter(|b| **b == b'\n')
            .count(),
        1000
    );
}

#[test]
fn case_57_an_output_is_complete_or_absent() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("network.status");
    let target = path.to_str().unwrap();
    fs::write(&path, "old").unwrap();
    let failed = netstatus(&["save", "-o", target], b"{\"n\":5}");
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    let status = data("podman/one.network.status");
    assert!(netstatus(&["save", "-o", target], &status).status.success());
    assert_eq!(fs::read(&path).unwrap(), [&status[..], b"\n"].concat());
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions()) & 0o777,
        0o600
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let full = netstatus(&["save", "-o", "/dev/full"], &status);
    assert_eq!(full.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&full.stderr).contains("/dev/full: No space left on device"));
}

#[test]
fn case_57b_a_closed_pipe_ends_the_tool_by_sigpipe() {
    use std::os::unix::process::ExitStatusExt;
    let (reader, writer) = nix::unistd::pipe().unwrap();
    drop(reader);
    let mut child = Command::new(env!("CARGO_BIN_EXE_netstatus"))
        .arg("save")
        .stdin(Stdio::piped())
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"null").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(13));
    assert!(output.stderr.is_empty());
}

#[test]
fn a_member_stream_contains_the_status_and_its_end() {
    let status = data("podman/twoboth.network.status");
    let output = netstatus(&["save", "--members"], &status);
    assert!(output.status.success());
    let mut reader =
        checkpoint::stream::StreamReader::new(&output.stdout[..], checkpoint::stream::Ending::Proved);
    let (member, entry) = reader.next().unwrap().unwrap();
    assert_eq!(member, checkpoint::Member::NetworkStatus);
    assert_eq!(entry.meta.mode & 0o7777, 0o600);
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut reader.content(), &mut content).unwrap();
    assert_eq!(content, status);
    assert!(reader.next().unwrap().is_none());
    assert_eq!(netstatus(&["save", "--members"], &status).stdout, output.stdout, "same input, same bytes");
}

/// A saved status must not change when it is saved or restored as a status, as in the README.
#[test]
fn saving_a_saved_status_changes_nothing() {
    for (args, input) in [
        (&["save", "--network", "n"][..], "cni/result-0.3.1-ADD.json"),
        (&["save", "--network", "n"], "cni/result-1.0.0-static.json"),
        (&["save", "--network", "podman"], "podman/v3-array.json"),
        (&["save"], "netavark/dualstack.status.json"),
    ] {
        let once = netstatus(args, &data(input));
        assert!(once.status.success(), "{input}: {}", String::from_utf8_lossy(&once.stderr));
        assert_eq!(netstatus(&["save"], &once.stdout).stdout, once.stdout, "{input}");
        assert_eq!(netstatus(&["restore", "--to", "status"], &once.stdout).stdout, once.stdout, "{input}");
    }
}

#[test]
fn several_cni_results_become_one_status() {
    let dir = tempfile::tempdir().unwrap();
    let cache = |net: &str, ifname: &str, ip: &str, mac: &str| {
        let path = dir.path().join(format!("{net}-c1-{ifname}"));
        let entry = json!({"kind": "cniCacheV1", "containerId": "c1", "ifName": ifname, "networkName": net, "result": {
            "cniVersion": "1.0.0", "interfaces": [{"name": ifname, "mac": mac, "sandbox": "/run/netns/x"}],
            "ips": [{"interface": 0, "address": ip}]}});
        fs::write(&path, entry.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let a = cache("b", "eth0", "10.1.0.5/24", "02:00:00:00:00:05");
    let b = cache("a", "eth1", "10.2.0.5/24", "02:00:00:00:00:06");
    let output = netstatus(&["save", &a, &b], b"");
    let status = json_of(&output.stdout);
    assert_eq!(status["b"]["interfaces"]["eth0"]["subnets"][0]["ipnet"], "10.1.0.5/24");
    assert_eq!(status["a"]["interfaces"]["eth1"]["mac_address"], "02:00:00:00:00:06");
    let twice = netstatus(&["save", &a, &a], b"");
    assert_eq!(twice.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&twice.stderr).contains("network b: interface eth0: occurs in two results")
    );
}

#[test]
fn networks_of_a_directory_are_read_and_errors_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["aggn1.json", "aggdual.json"] {
        fs::write(dir.path().join(file), data(&format!("networks/{file}"))).unwrap();
    }
    fs::write(dir.path().join("netavark.lock"), "").unwrap();
    let info = dir.path().to_str().unwrap().to_owned();
    let args = [
        "restore",
        "--to",
        "netavark",
        "--container-id",
        "x",
        "--container-name",
        "y",
        "--network-info",
        &info,
    ];
    let output = netstatus(&args, &data("podman/twoboth.network.status"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let input = json_of(&output.stdout);
    assert_eq!(input["networks"]["aggdual"]["static_ips"], json!(["10.91.2.6", "fd91:2::6"]));
    assert_eq!(input["network_info"]["aggn1"], json_of(&data("networks/aggn1.json")));
    fs::write(dir.path().join("broken.json"), "{").unwrap();
    let output = netstatus(&args, &data("podman/twoboth.network.status"));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("broken.json: not valid JSON"));
}

#[test]
fn case_58_conversions_need_no_privileges() {
    // If the tests run as root, the tool runs as the user nobody.
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netstatus"));
        command.args(args).stdin(Stdio::null());
        if nix::unistd::geteuid().is_root() {
            std::os::unix::process::CommandExt::uid(&mut command, 65534);
        }
        command.output()
    };
    // The test is skipped if the user nobody cannot enter the build directory.
    let Ok(output) = run(&["save", "--netns", "/proc/self/ns/net"]) else { return };
    assert_eq!(output.stdout, b"null\n", "the caller's namespace is not entered");
    let empty = run(&["save"]).unwrap();
    assert!(String::from_utf8_lossy(&empty.stderr).contains("standard input: is empty, expected JSON"));
}
