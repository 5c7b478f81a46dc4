//! The manual page and --help tell of the same options.

#[test]
fn every_option_is_in_the_manual_page_and_none_else() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../man/vol-archive.1");
    harness::manual::agrees(
        env!("CARGO_BIN_EXE_vol-archive"),
        page.as_ref(),
        &["create", "extract", "list"],
        // Of other programs, in the examples.
        &["--bundle", "--expect", "--rootfs"],
    );
}
