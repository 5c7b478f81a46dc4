//! The path attributes of routes (`RTAX_*`) whose value is a number.

/// The numbers of the attributes with their names in ip-route(8).
const ATTRIBUTES: [(u16, &str); 16] = [
    (1, "lock"),
    (2, "mtu"),
    (3, "window"),
    (4, "rtt"),
    (5, "rttvar"),
    (6, "ssthresh"),
    (7, "cwnd"),
    (8, "advmss"),
    (9, "reordering"),
    (10, "hoplimit"),
    (11, "initcwnd"),
    (12, "features"),
    (13, "rto_min"),
    (14, "initrwnd"),
    (15, "quickack"),
    (17, "fastopen_no_cookie"),
];

/// Returns the number of the attribute called `name`.
pub fn number(name: &str) -> Option<u16> {
    ATTRIBUTES.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
}

/// Returns the name of the attribute with this number.
pub fn name(number: u16) -> Option<&'static str> {
    ATTRIBUTES.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

/// Returns the static string that equals `name`, if there is such an attribute.
pub fn known_name(name: &str) -> Option<&'static str> {
    ATTRIBUTES.iter().map(|(_, known)| *known).find(|known| *known == name)
}
