//! Prints bytes in the form of `hexdump -C`, with addresses.

use std::io::{self, Write};

const ROW: usize = 16;

/// Writes bytes as rows. Rows that repeat the previous row are replaced by one `*`.
pub struct HexWriter<W> {
    out: W,
    address: u64,
    row: Vec<u8>,
    last: Vec<u8>,
    is_repeated: bool,
}

impl<W: Write> HexWriter<W> {
    pub fn new(out: W) -> HexWriter<W> {
        HexWriter { out, address: 0, row: Vec::new(), last: Vec::new(), is_repeated: false }
    }

    /// Writes the bytes at `address`. Bytes that do not follow the previous bytes start a new row.
    pub fn write(&mut self, address: u64, mut bytes: &[u8]) -> io::Result<()> {
        if address != self.address.wrapping_add(self.row.len() as u64) {
            self.end()?;
            self.address = address;
        }
        while !bytes.is_empty() {
            let n = bytes.len().min(ROW - self.row.len());
            self.row.extend_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            if self.row.len() == ROW {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Ends the bytes with a row that has only the end address, as hexdump does.
    pub fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        if !self.last.is_empty() {
            self.is_repeated = true;
        }
        self.end()
    }

    /// Ends the rows, at a gap. After a `*`, the end address tells how many rows were equal.
    fn end(&mut self) -> io::Result<()> {
        self.flush()?;
        if self.is_repeated {
            writeln!(self.out, "{:012x}", self.address)?;
        }
        self.last.clear();
        self.is_repeated = false;
        self.out.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.row.is_empty() {
            return Ok(());
        }
        if self.row == self.last {
            if !self.is_repeated {
                writeln!(self.out, "*")?;
            }
            self.is_repeated = true;
        } else {
            self.is_repeated = false;
            let mut hex = String::with_capacity(ROW * 3 + 1);
            for (n, byte) in self.row.iter().enumerate() {
                hex.push_str(&format!("{byte:02x} "));
                if n == 7 {
                    hex.push(' ');
                }
            }
            let letter = |byte: &u8| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '.' };
            let text: String = self.row.iter().map(letter).collect();
            writeln!(self.out, "{:012x}  {hex:<49} |{text}|", self.address)?;
        }
        self.address = self.address.wrapping_add(self.row.len() as u64);
        std::mem::swap(&mut self.row, &mut self.last);
        self.row.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_rows_are_one_star_and_gaps_start_a_row() {
        let mut out = Vec::new();
        let mut hex = HexWriter::new(&mut out);
        hex.write(0x1000, &[b'A'; 10]).unwrap();
        hex.write(0x100a, &[b'A'; 40]).unwrap();
        hex.write(0x2000, b"\x00z").unwrap();
        hex.finish().unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            "000000001000  41 41 41 41 41 41 41 41  41 41 41 41 41 41 41 41  |AAAAAAAAAAAAAAAA|"
        );
        assert_eq!(lines[1], "*");
        assert!(lines[2].starts_with("000000001030  41 41  ") && lines[2].ends_with("|AA|"), "{text}");
        assert!(lines[3].starts_with("000000002000  00 7a  ") && lines[3].ends_with("|.z|"), "{text}");
        assert_eq!(lines[4..], ["000000002002"]);
    }

    #[test]
    fn the_end_of_equal_rows_is_written() {
        let mut out = Vec::new();
        let mut hex = HexWriter::new(&mut out);
        hex.write(0x1000, &[0; 64]).unwrap();
        hex.write(0x2000, &[0; 32]).unwrap();
        hex.finish().unwrap();
        let text = String::from_utf8(out).unwrap();
        let addresses: Vec<_> = text.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(addresses, ["000000001000", "*", "000000001040", "000000002000", "*", "000000002020"]);
    }
}
