//! Compares the options in the manual page and in --help.

#[test]
fn manual_page_and_help_list_the_same_options() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../man/ckpt-pack.1");
    harness::manual::agrees(
        env!("CARGO_BIN_EXE_ckpt-pack"),
        page.as_ref(),
        &[],
        &[
            "--deleted",
            "--export",
            "--ignore-static-ip",
            "--ignore-static-mac",
            "--import-previous",
            "--keep",
            "--leave-running",
            "--members",
            "--pre-dump",
            "--rootfs",
            "--shm",
            "--subnet",
            "--work-path",
        ],
    );
}
