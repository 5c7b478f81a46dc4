//! The architecture of the host, as OCI images name it.

/// Returns the host's architecture by its name in Go (GOARCH), which OCI images use.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_for_this_host_have_the_name_of_go() {
        let names = ["amd64", "arm64", "386", "arm", "ppc64le", "s390x", "riscv64", "loong64"];
        assert!(names.contains(&architecture()), "{}", architecture());
        assert_eq!(architecture() == "amd64", cfg!(target_arch = "x86_64"));
    }
}
