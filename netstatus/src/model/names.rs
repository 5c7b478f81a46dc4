//! Names of networks, interfaces and search domains that the kernel and other programs accept.

use checkpoint::network_status::Malformed;

/// The maximum length of the name of a network or a search domain: the same as for a host name (RFC
/// 1035).
const LONGEST_NAME: usize = 253;

/// The longest interface name: `IFNAMSIZ` without the final NUL.
const LONGEST_INTERFACE_NAME: usize = 15;

/// Checks the name of a network: any text without control characters.
///
/// # Errors
/// Returns an error if the name is empty, too long or contains a control character.
pub fn check_network(name: &str) -> Result<(), Malformed> {
    if name.is_empty() {
        Err(Malformed::new("the name of a network is empty"))
    } else if name.len() > LONGEST_NAME {
        Err(Malformed::new(format!("the name of a network is longer than {LONGEST_NAME} bytes")))
    } else if name.chars().any(char::is_control) {
        Err(Malformed::new(format!("{name:?}: control character in the name of a network")))
    } else {
        Ok(())
    }
}

/// Checks the name of a container's interface against the rules of the kernel (`dev_valid_name`).
///
/// # Errors
/// Returns an error if the kernel would reject the name, or if every namespace already uses it.
pub fn check_interface(name: &str) -> Result<(), Malformed> {
    let wrong = |cause: &str| Err(Malformed::new(cause.to_owned()).within(format!("interface {name:?}")));
    match name {
        "" => return wrong("the name is empty"),
        "." | ".." => return wrong("not a valid interface name"),
        "lo" => return wrong("the loopback interface is not part of a network"),
        // The kernel rejects these names because it has directories with them in /proc/sys/net.
        "all" | "default" => return wrong("this name is reserved by the kernel"),
        _ => {}
    }
    if name.len() > LONGEST_INTERFACE_NAME {
        return wrong("longer than 15 bytes");
    }
    // '%' makes the kernel choose a number: "eth%d".
    if let Some(c) =
        name.chars().find(|c| matches!(c, '/' | ':' | '%') || c.is_whitespace() || c.is_control())
    {
        return wrong(&format!("{c:?} is not allowed in an interface name"));
    }
    Ok(())
}

/// Checks a search domain.
///
/// Accepts ".", which in podman means that there is no search domain (`--dns-search .`).
///
/// # Errors
/// Returns an error if resolv.conf could not hold the domain.
pub fn check_search_domain(domain: &str) -> Result<(), Malformed> {
    let bad = |c: char| c.is_control() || c.is_whitespace();
    if domain.is_empty() || domain.len() > LONGEST_NAME || domain.contains(bad) {
        return Err(Malformed::new(format!("{domain:?}: not a domain name")).within("dns_search_domains"));
    }
    Ok(())
}

/// Checks that `name` needs no quoting in a command or in an option list.
///
/// podman has the same rule for the names of networks. `what` describes the name in the error.
///
/// # Errors
/// Returns an error if the name contains a character that the rule does not allow.
pub fn check_unquoted(name: &str, what: &str) -> Result<(), Malformed> {
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if first && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')) {
        Ok(())
    } else {
        Err(Malformed::new(format!(
            "{what} {name:?}: only letters, digits, '_', '.' and '-' are allowed in this format"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names_the_kernel_rejects_are_errors() {
        for name in [
            "",
            "sixteen-bytes-ab",
            "a/b",
            "..",
            ".",
            "lo",
            "x y",
            "a\nb",
            "a:b",
            "all",
            "default",
            "eth%d",
            "a\u{a0}b",
        ] {
            assert!(check_interface(name).is_err(), "{name:?}");
        }
        for name in ["eth0", "fifteen-bytes-a", "a;b$c", "é0"] {
            assert!(check_interface(name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn names_of_networks_and_domains_have_limits() {
        let (longest, longer) = ("n".repeat(LONGEST_NAME), "n".repeat(LONGEST_NAME + 1));
        for (name, network, domain) in [
            ("", false, false),
            (".", true, true),
            ("a", true, true),
            (&longest, true, true),
            (&longer, false, false),
            ("a b", true, false),
            ("a\u{a0}b", true, false),
            ("a\nb", false, false),
            ("a\x07b", false, false),
        ] {
            assert_eq!(check_network(name).is_ok(), network, "network {name:?}");
            assert_eq!(check_search_domain(name).is_ok(), domain, "domain {name:?}");
        }
    }

    #[test]
    fn unquoted_names_start_with_a_letter_or_digit() {
        for (name, valid) in [
            ("a", true),
            ("9_.-z", true),
            ("", false),
            (".a", false),
            ("-a", false),
            ("a b", false),
            ("é", false),
        ] {
            assert_eq!(check_unquoted(name, "network").is_ok(), valid, "{name:?}");
        }
    }
}
