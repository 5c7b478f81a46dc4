//! Extraction in a user namespace that maps only some IDs.

use std::io::empty;
use std::process::Command;

use tartree::{Entry, Error, ExtractOptions, Extractor, Kind, Meta, Notice, Root, TarPath};

const INSIDE: &str = "TARTREE_TEST_INSIDE";

/// An owner or group without a mapping is reported by its number. `unshare` maps only root.
#[ignore = "needs unshare"]
#[test]
fn an_owner_without_a_mapping_is_named() {
    if std::env::var_os(INSIDE).is_none() {
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user"])
            .arg(std::env::current_exe().unwrap())
            .args(["--include-ignored", "--exact", "an_owner_without_a_mapping_is_named"])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
        return;
    }
    for kind in
        [Kind::Dir, Kind::Fifo, Kind::File { size: 0, map: None }, Kind::Symlink { target: b"t".to_vec() }]
    {
        for (uid, gid, is_mapped) in [(0, 0, true), (5, 0, false), (0, 6, false), (5, 6, false)] {
            let dir = tempfile::tempdir().unwrap();
            let meta = Meta { uid, gid, mode: 0o755, ..Meta::default() };
            let entry = Entry { path: TarPath::parse(b"name").unwrap(), kind: kind.clone(), meta };
            let mut none = |notice: Notice| panic!("{notice}");
            let mut extractor = Extractor::new(Root::open(dir.path()).unwrap(), ExtractOptions::default());
            let made = extractor.apply(&entry, &mut empty(), &mut none);
            // A directory gets its owner and a file its metadata at the end.
            match made.and_then(|()| extractor.finish(&mut none)) {
                Ok(()) => assert!(is_mapped, "{kind:?} {uid}:{gid}"),
                Err(Error::NotMapped { what, .. }) => {
                    assert!(!is_mapped, "{kind:?} {uid}:{gid}");
                    assert_eq!(what, format!("owner {uid}:{gid}"));
                }
                Err(e) => panic!("{kind:?} {uid}:{gid}: {e:?}"),
            }
        }
    }
}
