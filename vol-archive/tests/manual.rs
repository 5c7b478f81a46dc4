//! Checks that the manual page and `--help` have the same options.

#[test]
fn the_manual_page_has_exactly_the_options_of_help() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../man/vol-archive.1");
    harness::manual::agrees(
        env!("CARGO_BIN_EXE_vol-archive"),
        page.as_ref(),
        &["create", "extract", "list"],
        // The examples contain these options of other programs.
        &["--bundle", "--cat", "--expect", "--rootfs"],
    );
}
