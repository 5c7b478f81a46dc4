//! Reads the complete content of a member, with its holes as zeros.

use std::io::{self, Read};

use tartree::{Expanded, Kind};

use crate::compress::Bound;

/// Reads the complete content of a member. If the member has holes, its bytes count as decompressed
/// bytes: a few bytes of a sparse map can stand for a file of any size.
pub struct MemberContent<C> {
    content: Expanded<C>,
    bound: Option<Bound>,
}

impl<C> MemberContent<C> {
    /// Reads `content`, the stored content of an entry of this kind.
    pub fn new(kind: &Kind, content: C, bound: Bound) -> MemberContent<C> {
        let has_holes = matches!(kind, Kind::File { map: Some(_), .. });
        MemberContent { content: Expanded::new(kind, content), bound: has_holes.then_some(bound) }
    }
}

impl<C: Read> Read for MemberContent<C> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.content.read(buf)?;
        if let Some(bound) = &self.bound {
            bound.count_decompressed(got)?;
        }
        Ok(got)
    }
}
