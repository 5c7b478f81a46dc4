//! Parses `/proc/PID/mountinfo` (proc_pid_mountinfo(5)).

/// One line of mountinfo.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// The mount ID, as statx(2) reports it for every file on the mount.
    pub id: u64,
    /// Device number of the file system: major and minor.
    pub device: (u32, u32),
    /// The mounted directory of the file system: `/`, or a subdirectory for a bind mount.
    pub root: Vec<u8>,
    /// The path of the mount point.
    pub mount_point: Vec<u8>,
    /// File system type.
    pub fs_type: Vec<u8>,
    /// Options of the file system with their escapes decoded: `lowerdir=/a:/b`.
    pub options: Vec<Vec<u8>>,
}

/// Parses the text of the file. Skips malformed lines: the kernel may add optional fields, but
/// keeps the fields that this function reads.
pub fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|&b| b == b'\n').filter_map(line).collect()
}

/// Returns the mount that is visible at `path`: the last of several mounts on the same point.
pub fn at<'a>(mounts: &'a [Mount], path: &[u8]) -> Option<&'a Mount> {
    mounts.iter().rev().find(|mount| mount.mount_point == path)
}

fn line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&b| b == b' ');
    let id = number(fields.next()?)?;
    let mut device = fields.nth(1)?.splitn(2, |&b| b == b':').map(number);
    let device = (device.next()??, device.next()??);
    let root = decode(fields.next()?);
    let mount_point = decode(fields.next()?);
    // A dash ends the list of optional fields.
    fields.find(|field| *field == b"-")?;
    let fs_type = fields.next()?.to_vec();
    let _source = fields.next()?;
    // The kernel escapes a comma within a value, so the list is split before it is decoded.
    let options = fields.next()?.split(|&b| b == b',').map(|option| decode(&escape_colons(option))).collect();
    Some(Mount { id, device, root, mount_point, fs_type, options })
}

fn number<N: std::str::FromStr>(field: &[u8]) -> Option<N> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// Replaces `\072` by an escaped colon. Linux 6.5 to 6.7 print a colon inside the name of a lower
/// directory as `\072`; other versions print the escape of the mount option.
fn escape_colons(option: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(option.len());
    let mut rest = option;
    while let Some((&first, tail)) = rest.split_first() {
        match rest.strip_prefix(br"\072") {
            Some(after) => {
                out.extend(br"\134:");
                rest = after;
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out
}

/// Replaces the octal escapes of the kernel (space, tab, newline, backslash, and comma in options).
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
37 35 98:0 /a\040dir /mnt\0402 rw - ext4 /dev/x rw
38 35 0:77 / /m rw - overlay overlay rw,lowerdir=/a\072b:/c
nonsense
";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 3);
        assert_eq!((mounts[1].id, mounts[1].device, &mounts[1].root[..]), (37, (98, 0), &b"/a dir"[..]));
        assert_eq!(mounts[2].options[1], br"lowerdir=/a\:b:/c");
        assert_eq!(mounts[0].mount_point, b"/mnt 2");
        assert_eq!(mounts[0].options[1], br"lowerdir=a b:c\:d");
        assert_eq!(mounts[0].options[2], br"lowerdir+=/x,y");
        assert_eq!(at(&mounts, b"/mnt 2").unwrap().fs_type, b"ext4");
        assert_eq!(at(&mounts, b"/mnt"), None);
    }

    #[test]
    fn a_backslash_that_escapes_nothing_is_literal() {
        assert_eq!(decode(br"a\9\04\777\"), br"a\9\04\777\");
    }
}
