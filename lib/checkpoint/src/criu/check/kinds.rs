//! The format of an image by its name. criu/image-desc.c defines the names, and
//! criu/include/magic.h defines the magic numbers.

/// The format of an image, as far as it can be checked without knowing its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The image has this magic number, followed only by messages.
    Messages(u32),
    /// The image has this magic number, followed by messages and other data.
    Mixed(u32),
    /// The image is a tar that is compressed with gzip.
    Gzip,
}

/// The images that consist of messages. A name that ends in `-` is followed by the number of a
/// namespace or another resource. Any other name is complete, since a dump has only one such image.
const MESSAGES: [(&str, u32); 41] = [
    ("files", 0x5630_3138),
    ("reg-files", 0x5036_3636),
    ("ext-files", 0x5925_5641),
    ("ns-files", 0x6139_4011),
    ("eventfd", 0x4452_3722),
    ("eventpoll", 0x4502_3858),
    ("eventpoll-tfd", 0x4443_3746),
    ("signalfd", 0x5732_3820),
    ("inotify", 0x4842_4431),
    ("inotify-wd", 0x5456_2009),
    ("fanotify", 0x5509_6122),
    ("fanotify-mark", 0x5650_6035),
    ("pipes", 0x5651_3555),
    ("fifo", 0x5836_4939),
    ("unixsk", 0x5437_3943),
    ("inetsk", 0x5644_3851),
    ("packetsk", 0x6045_4618),
    ("netlinksk", 0x5800_5614),
    ("remap-fpath", 0x5913_3954),
    ("tty", 0x5943_3025),
    ("tty-info", 0x5945_3036),
    ("filelocks", 0x5432_3616),
    ("tunfile", 0x5714_3751),
    ("cgroup", 0x5938_3330),
    ("timerfd", 0x5049_3712),
    ("cpuinfo", 0x6140_4013),
    ("seccomp", 0x6441_3049),
    ("memfd", 0x4845_3499),
    ("apparmor", 0x5942_3047),
    ("pidfd", 0x5443_5556),
    ("pidns-", 0x6115_7326),
    ("utsns-", 0x5447_3203),
    ("ipcns-var-", 0x5311_5007),
    ("mountpoints-", 0x5556_3928),
    ("netdev-", 0x5737_3951),
    ("netns-", 0x5593_3752),
    ("userns-", 0x5547_4906),
    ("timens-", 0x4311_4433),
    ("pagemap-shmem-", 0x5608_4025),
    ("rlimit-", 0x5711_3925),
    ("creds-", 0x5402_3547),
];

const MIXED: [(&str, u32); 8] = [
    ("pipes-data", 0x5645_3709),
    ("fifo-data", 0x5933_3054),
    ("sk-queues", 0x5626_4026),
    ("ghost-file-", 0x5258_3605),
    ("tcp-stream-", 0x5146_5506),
    ("ipcns-shm-", 0x4628_3044),
    ("ipcns-msg-", 0x5545_3737),
    ("ipcns-sem-", 0x5957_3019),
];

impl Form {
    /// Returns the format of the image `name`. Returns `None` if the format is not known, as for
    /// memory pages and the output of iptables-save.
    pub fn of(name: &str) -> Option<Form> {
        let stem = name.strip_suffix(".img")?;
        if let Some(tar) = stem.strip_suffix(".tar.gz") {
            let number = tar.strip_prefix("tmpfs-dev-").or_else(|| tar.strip_prefix("tmpfs-"))?;
            return is_number(number).then_some(Form::Gzip);
        }
        let find = |table: &[(&str, u32)]| {
            let found = table.iter().find(|(known, _)| match known.strip_suffix('-') {
                Some(_) => stem.strip_prefix(known).is_some_and(is_number),
                None => stem == *known,
            });
            found.map(|(_, magic)| *magic)
        };
        find(&MESSAGES).map(Form::Messages).or_else(|| find(&MIXED).map(Form::Mixed))
    }
}

/// Returns whether `text` is a number in the name of an image. CRIU writes decimal and hexadecimal
/// numbers.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_form_of_their_kind() {
        for (name, form) in [
            ("files.img", Some(Form::Messages(0x5630_3138))),
            ("mountpoints-13.img", Some(Form::Messages(0x5556_3928))),
            ("netns-10.img", Some(Form::Messages(0x5593_3752))),
            ("ghost-file-a1.img", Some(Form::Mixed(0x5258_3605))),
            ("tmpfs-dev-46.tar.gz.img", Some(Form::Gzip)),
            ("netns-ct-10.img", None),
            ("iptables-10.img", None),
            ("pages-1.img", None),
            ("core-1.img", None),
            ("files.img.bak", None),
        ] {
            assert_eq!(Form::of(name), form, "{name}");
        }
    }
}
