//! JSON and other text from archives, images and hosts.

use std::path::Path;

use checkpoint::config_dump::ConfigDump;
use checkpoint::deleted_files;
use checkpoint::delta::Delta;
use checkpoint::network_status::NetworkStatus;
use checkpoint::pod::{PodDump, PodOptions};
use checkpoint::spec_dump::SpecDump;
use rootfs_diff::layers::Layers;
use rootfs_diff::mountinfo;
use spec_gen::cdi::{self, Registry};
use spec_gen::container::Container;
use spec_gen::image_config::ImageConfig;
use spec_gen::runtime_spec::Spec;
use spec_gen::{hooks, passwd};

/// Parses both forms of deletion lists, and checks that writing and reading them is lossless.
pub fn deleted_files(bytes: &[u8]) {
    for read in [deleted_files::read(bytes), deleted_files::read0(bytes)] {
        let Ok(mut paths) = read else { continue };
        assert!(paths.iter().all(|path| !path.is_root()), "the root");
        // A relative path of maximum length becomes too long when it is written as an absolute
        // path.
        let Ok((text, raw)) = deleted_files::write(&paths) else { continue };
        let mut again = deleted_files::read(&text.unwrap_or(b"null".to_vec())).expect("what was written");
        again.extend(deleted_files::read0(&raw.unwrap_or_default()).expect("what was written"));
        again.sort();
        paths.sort();
        assert_eq!(again, paths);
    }
}

/// Parses `config.dump` of podman and CRI-O, as ckpt-pack, ckpt-unpack and spec-gen do.
pub fn config_dump(bytes: &[u8]) {
    if let Ok(mut config) = ConfigDump::read(bytes) {
        let volumes = config.volumes();
        config.set_nocopy();
        config.complete_image_keys();
        let again = ConfigDump::read(&config.write()).expect("what was written");
        if let Ok(volumes) = volumes {
            let again = again.volumes().expect("the same volumes");
            assert_eq!(again.len(), volumes.len());
        }
    }
    if let Some(map) = strict_json::document(bytes).ok().as_ref().and_then(|value| value.as_object()) {
        let _ = Container::from_libpod(map);
    }
}

/// Parses the runtime specification of a checkpoint.
pub fn spec_dump(bytes: &[u8]) {
    let Ok(mut spec) = SpecDump::read(bytes) else { return };
    let _ = (spec.missing(), spec.user(), spec.engine(), spec.annotation("org.criu.config"));
    let destinations: Vec<String> = spec.mounts().iter().map(|mount| mount.destination.to_string()).collect();
    for destination in destinations {
        spec.set_mount_source(&destination, "/elsewhere");
    }
    SpecDump::read(&spec.write()).expect("what was written");
}

/// Parses `network.status`, and checks the lines that netstatus prints for other programs.
pub fn network_status(bytes: &[u8]) {
    let Ok(Some(status)) = NetworkStatus::parse(bytes) else { return };
    let again = NetworkStatus::from_value(status.to_value()).expect("what was written");
    assert_eq!(again.as_ref(), Some(&status));
    let Ok(status) = netstatus::ValidStatus::new(status) else { return };
    let starts = ["--network=", "CNI_IFNAME=", ""];
    for (text, start) in netstatus::line_formats(&status).into_iter().zip(starts) {
        let Ok(text) = text else { continue };
        for line in text.lines() {
            assert!(line.starts_with(start), "unexpected line {line:?}");
            assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
        }
    }
}

/// Parses the configuration of an image, and applies it to a specification.
pub fn image_config(bytes: &[u8]) {
    let Ok(value) = strict_json::document(bytes) else { return };
    let Ok(image) = ImageConfig::parse(&value) else { return };
    let mut spec = Spec::new(serde_json::json!({ "ociVersion": "1.2.0", "process": {} }));
    let _ = image.apply(&mut spec, &mut Container::default());
}

/// Parses `passwd` and `group` of a root file system.
pub fn accounts(bytes: &[u8]) {
    let users = passwd::passwd(bytes, Path::new("passwd"));
    let groups = passwd::group(bytes, Path::new("group"));
    let lines = bytes.split(|&b| b == b'\n').count();
    assert!(users.entries.len() + users.ignored.len() <= lines);
    assert!(users.entries.iter().all(|user| user.uid != u32::MAX && user.gid != u32::MAX));
    assert!(groups.entries.iter().all(|group| group.gid != u32::MAX));
}

/// Parses a CDI specification as JSON and YAML, and adds all its devices to a specification.
pub fn cdi(bytes: &[u8]) {
    for is_yaml in [false, true] {
        let Ok(registry) = Registry::of(bytes, is_yaml) else { continue };
        let names = registry.names();
        assert!(names.iter().all(|name| cdi::is_device_name(name)), "{names:?}");
        let mut spec = Spec::new(serde_json::json!({ "ociVersion": "1.2.0", "process": {} }));
        let _ = registry.inject(&mut spec, &names);
    }
}

/// Parses a hook configuration, and matches it against a specification.
pub fn hooks(bytes: &[u8]) {
    let Ok(hook) = hooks::read_text(bytes, "hook".into()) else { return };
    let spec = serde_json::json!({
        "ociVersion": "1.2.0", "process": { "args": ["sh", "-c", "true"] },
        "annotations": { "a": "b" }, "hooks": {},
    });
    let _ = hooks::inject(&mut Spec::new(spec), &[hook], true, Default::default());
}

/// Parses the mounts of a process, and the layers of overlay mounts.
pub fn mountinfo(bytes: &[u8]) {
    for mount in mountinfo::parse(bytes) {
        let Ok(layers) = Layers::of(&mount) else { continue };
        let all = layers.upper.iter().chain(&layers.lowers).chain(&layers.data_only);
        for layer in all {
            assert!(layer.is_absolute(), "{}", layer.display());
        }
    }
}

/// Parses pod.options and pod.dump. The pod.options that is written has the same content.
pub fn pod(bytes: &[u8]) {
    let _ = PodDump::read("pod.dump", bytes);
    let Ok(options) = PodOptions::read(bytes) else { return };
    assert!(options.containers.iter().all(|container| !container.member.as_bytes().contains(&b'/')));
    assert_eq!(PodOptions::read(&options.write()).ok(), Some(options), "the content changes");
}

/// Parses delta.json. The document that is written from it has the same content.
pub fn delta(bytes: &[u8]) {
    let Ok(delta) = Delta::read(bytes) else { return };
    assert_eq!(Delta::read(&delta.write()).ok(), Some(delta), "the content changes");
}
