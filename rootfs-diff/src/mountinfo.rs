//! `/proc/self/mountinfo` (proc_pid_mountinfo(5)).

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub mount_point: Vec<u8>,
    /// File system type.
    pub fs_type: Vec<u8>,
    /// Options of the file system, each decoded: `lowerdir=/a:/b`.
    pub options: Vec<Vec<u8>>,
}

/// Reads the file's text. Lines that are not understood are passed over: the kernel may add fields, never change these.
pub fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|&b| b == b'\n').filter_map(line).collect()
}

/// The mount that is visible at `path`: of several on the same point the last one.
pub fn at<'a>(mounts: &'a [Mount], path: &[u8]) -> Option<&'a Mount> {
    mounts.iter().rev().find(|mount| mount.mount_point == path)
}

fn line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&b| b == b' ');
    let mount_point = decode(fields.nth(4)?);
    // Any number of optional fields, then a single dash.
    fields.find(|field| *field == b"-")?;
    let fs_type = fields.next()?.to_vec();
    let _source = fields.next()?;
    // A comma within a value is escaped, so the list is split before it is decoded.
    let options = fields.next()?.split(|&b| b == b',').map(decode).collect();
    Some(Mount { mount_point, fs_type, options })
}

/// Replaces the kernel's `\ooo` escapes (space, tab, newline, backslash, and comma in options).
fn decode(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = |b: u8| (b'0'..=b'7').contains(&b).then(|| u32::from(b - b'0'));
        if let [b'\\', a, b, c, after @ ..] = rest {
            if let (Some(a), Some(b), Some(c)) = (octal(*a), octal(*b), octal(*c)) {
                if let Ok(byte) = u8::try_from(a << 6 | b << 3 | c) {
                    out.push(byte);
                    rest = after;
                    continue;
                }
            }
        }
        out.push(first);
        rest = tail;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_after_the_options_are_split() {
        let text = br"36 35 98:0 / /mnt\0402 rw,noatime master:1 propagate_from:2 - overlay overlay rw,lowerdir=a\040b:c\134:d,lowerdir+=/x\054y
37 35 98:0 / /mnt\0402 rw - ext4 /dev/x rw
nonsense
";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].mount_point, b"/mnt 2");
        assert_eq!(mounts[0].options[1], br"lowerdir=a b:c\:d");
        assert_eq!(mounts[0].options[2], br"lowerdir+=/x,y");
        assert_eq!(at(&mounts, b"/mnt 2").unwrap().fs_type, b"ext4");
        assert_eq!(at(&mounts, b"/mnt"), None);
    }

    #[test]
    fn a_backslash_that_escapes_nothing_stays() {
        assert_eq!(decode(br"a\9\04\777\"), br"a\9\04\777\");
    }
}
