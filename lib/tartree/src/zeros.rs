//! Data to a file in which pages of zeros become holes.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

pub(crate) const PAGE: usize = 4096;
/// Zeros between data that are no hole: to write on costs less than to begin again behind one page, and the file has one
/// extent less.
pub(crate) const SHORT: usize = PAGE;

/// Writes `data` at the position of `file`, which is new, passing over pages of zeros; one alone is written where
/// there is data on both sides. The caller gives the file its length: it may end in a hole.
pub(crate) fn write_sparse(file: &mut File, data: &[u8]) -> io::Result<()> {
    let mut rest = data;
    while !rest.is_empty() {
        let zeros = leading_zeros(rest);
        if zeros > 0 {
            // No file is longer than an off_t says.
            file.seek(SeekFrom::Current(zeros as i64))?;
        }
        let (run, after) = rest[zeros..].split_at(data_before_zeros(&rest[zeros..]));
        file.write_all(run)?;
        rest = after;
    }
    Ok(())
}

/// Bytes in the pages of zeros that `data` begins with; what is left at an end that is no page's counts as one.
fn leading_zeros(data: &[u8]) -> usize {
    data.chunks(PAGE).take_while(|page| is_zeros(page)).map(<[u8]>::len).sum()
}

/// Whether a page, or the beginning of one, is all zeros.
pub(crate) fn is_zeros(page: &[u8]) -> bool {
    *page == [0; PAGE][..page.len()]
}

/// Bytes before the next pages of zeros that make a hole. `data` begins with a page that is not zeros.
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
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;

    /// Content of pages: `.` is zeros, anything else is not.
    fn pages(text: &str) -> Vec<u8> {
        text.bytes().flat_map(|b| if b == b'.' { [0; PAGE] } else { [b; PAGE] }).collect()
    }

    #[test]
    fn two_pages_of_zeros_are_a_hole_and_so_is_one_at_an_edge() {
        for (text, written) in [
            ("", 0),
            (".", 0),
            ("a", 1),
            ("a.b", 3),
            ("a..b", 2),
            (".a.", 1),
            ("..a.b.c...d.", 6),
            ("ab....", 2),
        ] {
            for more in [0, 1, 1000] {
                let data = [pages(text), vec![0; more]].concat();
                let mut file = tempfile::tempfile().unwrap();
                write_sparse(&mut file, &data).unwrap();
                assert_eq!(file.stream_position().unwrap(), data.len() as u64);
                file.set_len(data.len() as u64).unwrap();
                assert_eq!(
                    file.metadata().unwrap().blocks() * 512,
                    written * PAGE as u64,
                    "{text} and {more}"
                );
                let mut read = Vec::new();
                file.seek(SeekFrom::Start(0)).unwrap();
                file.read_to_end(&mut read).unwrap();
                assert!(read == data, "{text} and {more}");
            }
        }
    }

    #[test]
    fn data_that_ends_within_a_page_is_written_to_its_end() {
        let mut data = pages("a..b");
        data.extend([0, 0, 7]);
        let mut file = tempfile::tempfile().unwrap();
        write_sparse(&mut file, &data).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert!(read == data);
    }
}
