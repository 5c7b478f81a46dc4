//! The disagreements between readers that are known, with their reasons.

use crate::{Disagreement, Listed, What};

/// A reason for which readers disagree.
pub struct Rule {
    pub reason: &'static str,
    pub explains: fn(&Disagreement<'_>) -> bool,
}

pub const RULES: &[Rule] = &[
    Rule {
        reason: "this reader rejects names with '..', which could lead out of the root",
        explains: |d| rejected_here(d, &["name with '..'"]),
    },
    Rule {
        reason: "this reader rejects unknown types, which the others extract as files",
        explains: |d| rejected_here(d, &["is not known"]),
    },
    Rule {
        reason: "this reader rejects extension headers about which the others disagree with each other",
        explains: |d| {
            rejected_here(
                d,
                &[
                    "two headers of type",
                    "a PAX record and a GNU header name the same entry",
                    "a header for an entry that does not follow",
                    "a header for an entry that is missing",
                ],
            )
        },
    },
    Rule {
        reason: "this reader rejects content of a directory, which libarchive reads as headers",
        explains: |d| rejected_here(d, &["a directory with content"]),
    },
    Rule {
        reason: "an entry that is not a file has no content, whatever its size is; GNU tar skips content",
        explains: |d| d.tar.features.contains(&SIZE) && !matches!(d.what, What::Field(..)) || after_size(d),
    },
    Rule {
        reason: "GNU tar lists, and libarchive reads, times with a fraction before 1970 a second too late",
        explains: |d| {
            d.reader != "Python"
                && field(d, "mtime", |our, their| {
                    our.mtime < Some(0) && our.nsec != Some(0) && their.mtime == our.mtime.map(|sec| sec + 1)
                })
        },
    },
    Rule {
        reason: "libarchive rejects the records of a sparse file for a file of type NUL",
        explains: |d| matches!(d.what, What::RejectedThere(error) if error.contains("Non-regular file cannot be sparse")),
    },
    Rule {
        reason: "Python and tar-core do not know the records LIBARCHIVE.xattr",
        explains: |d| {
            matches!(d.reader, "Python" | "tar-core")
                && field(d, "xattrs", |our, their| {
                    let known = our.xattrs.iter().flatten().filter(|(name, _)| *name != b"user.both");
                    known.eq(their.xattrs.iter().flatten())
                })
        },
    },
    Rule {
        reason: "Python and tar-core do not know GNU's type D, a directory with a list of names",
        explains: |d| {
            matches!(d.reader, "Python" | "tar-core")
                && field(d, "kind", |_, their| their.kind == "type b'D'")
        },
    },
    Rule {
        reason: "a name that ends in a slash is a directory; not of type 7 for GNU tar, only of type NUL for Python, never for tar-core",
        explains: |d| {
            let slash =
                |our: &Listed, their: &Listed| our.kind == "dir" && their.kind == "file" && their.size == 0;
            let differs = field(d, "kind", slash) || field(d, "content", slash);
            let is_contiguous = d.tar.features.contains(&"a contiguous file");
            differs && (matches!(d.reader, "Python" | "tar-core") || d.reader == "GNU tar" && is_contiguous)
        },
    },
    Rule {
        reason: "tar-core rejects times before 1970 in PAX records",
        explains: |d| matches!(d.what, What::RejectedThere(error) if error.contains("invalid PAX mtime value: \"-")),
    },
    Rule {
        reason: "tar-core needs two zero blocks at the end",
        explains: |d| d.reader == "tar-core" && matches!(d.what, What::RejectedThere("truncated")),
    },
    Rule {
        reason: "others also reject a damaged tar for values that this reader does not use: owners of extension headers, numbers that a PAX record replaces, global headers",
        explains: |d| {
            let texts = [
                "ReadError: invalid header",
                "Unrecognized archive format",
                "Malformed extended header",
                "value expected",
                "excess GNU.sparse.map",
            ];
            d.tar.is_damaged
                && matches!(d.what, What::RejectedThere(error) if texts.iter().any(|text| error.contains(text)))
        },
    },
    Rule {
        reason: "Python rejects a global header before the end of the tar",
        explains: |d| {
            let at_end = matches!(d.what, What::RejectedThere("ReadError: end of file header"));
            at_end && d.tar.features.contains(&"a global header")
        },
    },
    Rule {
        reason: "Python and tar-core also read the owner of an extension header; at an error, Python ends silently",
        explains: |d| match d.what {
            What::OnlyHere(_) => d.reader == "Python" && d.tar.is_damaged,
            What::RejectedThere(error) => d.reader == "tar-core" && error.contains("invalid octal field"),
            _ => false,
        },
    },
];

const SIZE: &str = "a size of an entry without content";

fn rejected_here(d: &Disagreement<'_>, texts: &[&str]) -> bool {
    matches!(d.what, What::RejectedHere(error) if texts.iter().any(|text| error.contains(text)))
}

fn field(d: &Disagreement<'_>, name: &str, explains: fn(&Listed, &Listed) -> bool) -> bool {
    matches!(d.what, What::Field(field, our, their) if field == name && explains(our, their))
}

/// Returns whether a field differs in an entry after the first entry whose size is ignored: GNU tar
/// has skipped a header.
fn after_size(d: &Disagreement<'_>) -> bool {
    let What::Field(_, our, _) = d.what else { return false };
    let at = d.ours.entries.iter().position(|entry| std::ptr::eq(entry, our));
    let not_a_file = d.ours.entries.iter().position(|entry| entry.kind != "file");
    d.tar.features.contains(&SIZE) && not_a_file.is_some_and(|first| at.is_some_and(|at| at > first))
}
