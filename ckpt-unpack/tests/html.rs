//! `--show --html`: a strict parser accepts the page, nothing in it refers to the outside, and no text
//! of an archive becomes markup.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use golden::golden;
use serde_json::json;
use tartree::{END_OF_ARCHIVE, Entry, RootName, TarPath, Timestamp};

mod golden;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn page(args: &[&str], archive: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-unpack"));
    let run = command.args(["--show", "--html"]).args(args).arg(archive).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

/// The elements of a page, as far as tests need them.
#[derive(Default)]
struct Parsed {
    /// Each start tag with its attributes.
    tags: Vec<(String, Vec<(String, String)>)>,
    /// The text of all elements except `style`.
    text: String,
    style: String,
}

const ELEMENTS: [&str; 36] = [
    "a", "body", "caption", "dd", "details", "div", "dl", "dt", "footer", "g", "h1", "h2", "head", "header",
    "html", "li", "main", "meta", "nav", "p", "rect", "section", "style", "summary", "svg", "table", "td",
    "text", "th", "title", "tr", "ul", "h3", "span", "tbody", "thead",
];
const ATTRIBUTES: [&str; 19] = [
    "aria-label",
    "aria-labelledby",
    "charset",
    "class",
    "content",
    "height",
    "href",
    "http-equiv",
    "id",
    "lang",
    "name",
    "open",
    "role",
    "scope",
    "tabindex",
    "viewBox",
    "width",
    "x",
    "y",
];

/// Parses a page in which every element except `meta` is closed, every attribute has double quotes,
/// and every `&` starts one of five references.
fn parse(page: &str) -> Parsed {
    let mut rest = page.strip_prefix("<!DOCTYPE html>\n").expect("a doctype");
    let (mut parsed, mut open) = (Parsed::default(), Vec::<String>::new());
    while !rest.is_empty() {
        let (text, after) = rest.split_once('<').unwrap_or((rest, ""));
        assert!(!text.contains('>'), "a bare > in {text:?}");
        if open.last().is_some_and(|name| name == "style") {
            parsed.style.push_str(text);
        } else {
            parsed.text.push_str(&decoded(text));
        }
        if after.is_empty() {
            break;
        }
        let (tag, after) = after.split_once('>').expect("the end of a tag");
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "wrong end tag");
            continue;
        }
        let (tag, is_closed) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(ELEMENTS.contains(&name), "<{tag}>");
        if !is_closed && name != "meta" {
            open.push(name.to_owned());
        }
        parsed.tags.push((name.to_owned(), attributes_of(attributes)));
    }
    assert_eq!(open, Vec::<String>::new(), "open elements");
    parsed
}

fn attributes_of(mut rest: &str) -> Vec<(String, String)> {
    let mut attributes = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("open") {
            assert!(after.is_empty(), "{rest}");
            break;
        }
        let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("attribute {rest:?}"));
        let (value, after) = after.split_once('"').expect("a closing quote");
        assert!(ATTRIBUTES.contains(&name), "{name}={value}");
        attributes.push((name.to_owned(), decoded(value)));
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    attributes
}

fn decoded(text: &str) -> String {
    let mut parts = text.split('&');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, after) = part.split_once(';').unwrap_or_else(|| panic!("a bare & before {part:?}"));
        let references = [("amp", "&"), ("lt", "<"), ("gt", ">"), ("quot", "\""), ("#39", "'")];
        let (_, character) = references.iter().find(|(known, _)| *known == name).expect("a known reference");
        decoded.push_str(character);
        decoded.push_str(after);
    }
    decoded
}

impl Parsed {
    fn all<'a>(&'a self, element: &'a str) -> impl Iterator<Item = &'a Vec<(String, String)>> {
        self.tags.iter().filter(move |(name, _)| name == element).map(|(_, attributes)| attributes)
    }

    fn values<'a>(&'a self, attribute: &'a str) -> impl Iterator<Item = &'a str> {
        let all = self.tags.iter().flat_map(|(_, attributes)| attributes);
        all.filter(move |(name, _)| name == attribute).map(|(_, value)| value.as_str())
    }
}

fn has(attributes: &[(String, String)], name: &str) -> bool {
    attributes.iter().any(|(known, _)| known == name)
}

/// Checks what every page promises.
fn check(page: &str, name: &str) {
    let parsed = parse(page);
    for outside in
        ["http:", "https:", "url(", "@import", "javascript:", "<script", "<img", "<link", "<iframe"]
    {
        // A text may contain these words, but no attribute or style.
        let in_style = parsed.style.contains(outside);
        assert!(!in_style && !parsed.values("href").any(|href| href.contains(outside)), "{name}: {outside}");
    }
    let policy = parsed.all("meta").find(|meta| has(meta, "http-equiv")).expect("a policy");
    assert!(
        policy.iter().any(|(_, value)| value == "default-src 'none'; style-src 'unsafe-inline'"),
        "{name}"
    );
    // Headings, links, tables and graphics for readers who do not see the page or use no mouse.
    let ids: Vec<_> = parsed.values("id").collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{name}: {ids:?}");
    assert!(parsed.values("href").all(|href| ids.contains(&href.strip_prefix('#').unwrap())), "{name}");
    assert!(parsed.values("aria-labelledby").all(|id| ids.contains(&id)), "{name}");
    assert_eq!(parsed.all("h1").count(), 1, "{name}");
    assert_eq!(parsed.all("h2").count(), parsed.all("section").count(), "{name}");
    assert!(parsed.all("th").all(|th| has(th, "scope")), "{name}");
    assert_eq!(parsed.all("caption").count(), parsed.all("table").count(), "{name}");
    assert!(parsed.all("svg").all(|svg| has(svg, "role") && has(svg, "aria-labelledby")), "{name}");
    let mut scrolled = parsed.all("div").filter(|div| has(div, "tabindex"));
    assert!(scrolled.all(|div| has(div, "role") && has(div, "aria-label")), "{name}");
    assert!(parsed.all("html").all(|html| has(html, "lang")), "{name}");
    assert!(page.len() < 300 << 10, "{name}: {} bytes", page.len());
}

#[test]
fn pages_of_all_engines_are_valid_and_small() {
    let mut archives: Vec<_> = fs::read_dir(data()).unwrap().map(|entry| entry.unwrap().path()).collect();
    archives.retain(|path| path.to_string_lossy().contains(".tar"));
    assert!(archives.len() > 15);
    for archive in archives {
        check(&page(&[], &archive), &archive.display().to_string());
    }
}

#[test]
fn the_page_has_processes_memory_changes_and_the_dump() {
    let text = parse(&page(&[], &data().join("g06-bridge.tar.xz"))).text;
    for part in [
        "└─ 12 sleep 0.1",
        "64.0 KiB of 2.3 MiB mapped",
        "/tmp/counter",
        "processes frozen",
        "59.1 ms",
        "pipe[201630]",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains("podmaneth010.88.0.2/16ce:10:58:bb:f4:34"), "{text}");
    // The environment and the memory are never on the page.
    assert!(!text.contains("HOSTNAME") && !text.contains("HOME="), "{text}");
}

#[test]
fn redact_hides_the_arguments_of_processes() {
    let archive = data().join("g06-bridge.tar.xz");
    let (open, redacted) = (page(&[], &archive), page(&["--redact"], &archive));
    assert!(open.contains("sleep 0.1") && open.contains("while :;"));
    assert!(!redacted.contains("sleep 0.1") && !redacted.contains("while :;"));
    assert!(parse(&redacted).text.contains("└─ 12 sleep"));
    check(&redacted, "redacted");
}

const HOSTILE: &str =
    "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&lt;&#0;</style>]]>--!>\u{202e}";

fn hostile() -> Vec<u8> {
    let name = HOSTILE.replace('/', "");
    let tar = |files: &[&str]| {
        let mut tar = Vec::new();
        for file in files {
            let path = TarPath::parse(file.as_bytes()).unwrap();
            tartree::encode(&mut tar, &Entry::file(path, 9, 0o644, Timestamp::default()), RootName::Dot);
            tar.resize(tar.len() + 512, 0);
        }
        [tar, END_OF_ARCHIVE.to_vec()].concat()
    };
    golden(|members| {
        for (entry, content) in members.iter_mut() {
            match entry.path.to_string().as_str() {
                "config.dump" => {
                    *content = json!({
                        "id": HOSTILE, "name": HOSTILE, "rootfsImageName": HOSTILE, "rootfsImageID": HOSTILE,
                        "runtime": HOSTILE, "createdTime": HOSTILE, "checkpointedTime": HOSTILE,
                    })
                    .to_string()
                    .into_bytes();
                }
                "spec.dump" => {
                    *content = json!({
                        "annotations": { "io.kubernetes.pod.name": HOSTILE, "io.kubernetes.pod.namespace": HOSTILE },
                        "mounts": [{ "destination": HOSTILE, "type": "bind", "source": HOSTILE }],
                        "linux": { "namespaces": [{ "type": HOSTILE, "path": HOSTILE }] },
                    })
                    .to_string()
                    .into_bytes();
                }
                "rootfs-diff.tar" => *content = tar(&[&format!("{name}/{name}")]),
                // The command lines and the name in the kernel are in these images.
                image if image.ends_with("pages-2.img") => {
                    for at in 0..content.len() - 16 {
                        if &content[at..at + 9] == b"sleep\x000.1" {
                            content[at..at + 9].copy_from_slice(b"<b>\x00'\"&x>");
                        }
                    }
                }
                image if image.ends_with("files.img") => {
                    while let Some(at) = content.windows(9).position(|bytes| bytes == b"/dev/null") {
                        content[at..at + 9].copy_from_slice(b"/<a b='\">");
                    }
                }
                _ => {}
            }
        }
        let path = TarPath::parse(format!("{name}.img").as_bytes()).unwrap();
        members.push((Entry::file(path, 3, 0o600, Timestamp::default()), vec![0; 3]));
    })
}

#[test]
fn no_text_of_a_hostile_archive_becomes_markup() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("hostile");
    fs::write(&archive, hostile()).unwrap();
    for args in [&[][..], &["--redact"]] {
        let page = page(args, &archive);
        check(&page, "hostile");
        assert!(!page.contains("<script") && !page.contains("<img") && !page.contains('\u{202e}'), "{page}");
        let text = parse(&page).text;
        let shown = HOSTILE.replace('\u{202e}', "\\u{202e}");
        assert!(text.matches(&shown).count() >= 10, "{text}");
        assert!(text.contains("/<a b='\">"), "{text}");
    }
}

/// WCAG 2.1, "relative luminance" and "contrast ratio".
fn contrast(a: &str, b: &str) -> f64 {
    let luminance = |color: &str| {
        let part = |n: usize| {
            let value = f64::from(u8::from_str_radix(&color[n..n + 2], 16).unwrap()) / 255.0;
            if value <= 0.03928 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    };
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn the_contrast_of_texts_is_at_least_4_5() {
    let style = parse(&page(&[], &data().join("g06-bridge.tar.xz"))).style;
    let color = |name: &str| {
        let (_, after) = style.split_once(&format!("--{name}: ")).unwrap();
        after[..7].to_owned()
    };
    for name in ["ink", "faint", "link"] {
        assert!(contrast(&color(name), &color("paper")) >= 4.5, "{name}");
    }
    let fills: Vec<_> =
        style.split(" { fill: ").skip(1).map(|rest| &rest[..7]).filter(|c| c.starts_with('#')).collect();
    assert!(fills.len() >= 6, "{fills:?}");
    let (text, areas): (Vec<_>, Vec<_>) = fills.into_iter().partition(|fill| *fill == "#111111");
    assert_eq!(text.len(), 1);
    assert!(areas.iter().all(|area| contrast(area, text[0]) >= 4.5), "{areas:?}");
    assert!(contrast("#000000", "#ffffff") > 20.9);
}
