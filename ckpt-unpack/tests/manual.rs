//! Compares the options in the manual page and in --help.

#[test]
fn manual_page_and_help_list_the_same_options() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../man/ckpt-unpack.1");
    harness::manual::agrees(
        env!("CARGO_BIN_EXE_ckpt-unpack"),
        page.as_ref(),
        &[],
        &[
            "--all-platforms",
            "--image",
            "--pod-config",
            "--precopy",
            "--replace",
            "--restore",
            "--rw",
            "--skip-manifest-json",
            "--task",
            "--with-previous",
            "--xor",
        ],
    );
}
