//! Finds zero pages in data, so that they can become holes.

use std::ops::Range;

pub(crate) const PAGE: usize = 4096;
/// The maximum length of zeros between data that are stored as data: writing one page costs less
/// than a seek, and the file has one extent less.
pub(crate) const SHORT: usize = PAGE;

/// Returns the parts of `data` that are not zero pages. `data` begins at a page boundary. A single
/// zero page belongs to the data on both sides.
pub(crate) fn runs_of_data(data: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + leading_zeros(&data[at..]);
        at = start + data_before_zeros(&data[start..]);
        (start < at).then_some(start..at)
    })
}

/// Returns the number of bytes in the zero pages at the beginning of `data`. An incomplete last
/// page counts as a page.
fn leading_zeros(data: &[u8]) -> usize {
    data.chunks(PAGE).take_while(|page| is_zeros(page)).map(<[u8]>::len).sum()
}

/// Reports whether a page, or the beginning of one, contains only zeros.
pub(crate) fn is_zeros(page: &[u8]) -> bool {
    *page == [0; PAGE][..page.len()]
}

/// Returns the number of bytes before the next zero pages that make a hole. `data` begins with a
/// page that is not zero.
fn data_before_zeros(data: &[u8]) -> usize {
    let mut end = data.len().min(PAGE);
    while end < data.len() {
        match leading_zeros(&data[end..]) {
            0 => end = data.len().min(end + PAGE),
            zeros if zeros <= SHORT && end + zeros < data.len() => end += zeros,
            _ => break,
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds the content of pages: `.` is a zero page, any other character is not.
    fn pages(text: &str) -> Vec<u8> {
        text.bytes().flat_map(|b| if b == b'.' { [0; PAGE] } else { [b; PAGE] }).collect()
    }

    #[test]
    fn two_zero_pages_or_one_at_an_edge_are_a_hole() {
        for (text, expected) in [
            ("", &[][..]),
            (".", &[]),
            ("a", &[(0, 1)]),
            ("a.b", &[(0, 3)]),
            ("a..b", &[(0, 1), (3, 4)]),
            (".a.", &[(1, 2)]),
            ("..a.b.c...d.", &[(2, 7), (10, 11)]),
            ("ab....", &[(0, 2)]),
        ] {
            for more in [0, 1, 1000] {
                let data = [pages(text), vec![0; more]].concat();
                let in_pages = runs_of_data(&data).map(|run| (run.start / PAGE, run.end / PAGE));
                assert_eq!(in_pages.collect::<Vec<_>>(), expected, "{text} and {more}");
            }
        }
    }

    #[test]
    fn data_that_ends_within_a_page_extends_to_its_end() {
        let mut data = pages("a..b");
        data.extend([0, 0, 7]);
        assert_eq!(runs_of_data(&data).collect::<Vec<_>>(), [0..PAGE, 3 * PAGE..4 * PAGE + 3]);
    }
}
