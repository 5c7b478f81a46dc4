//! The manual page and --help tell of the same options.

#[test]
fn every_option_is_in_the_manual_page_and_none_else() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../man/ckpt-unpack.1");
    harness::manual::agrees(
        env!("CARGO_BIN_EXE_ckpt-unpack"),
        page.as_ref(),
        &[],
        &["--replace", "--restore", "--with-previous"],
    );
}
