//! Base64 with the standard alphabet (RFC 4648).

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Encodes base64 without padding, as libarchive writes it. libarchive reads both forms.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |w, &b| w << 8 | u32::from(b)) << (8 * (3 - group.len()));
        for i in 0..=group.len() {
            out.push(DIGITS[(word >> (18 - 6 * i) & 63) as usize] as char);
        }
    }
    out
}

/// Decodes base64 and ignores padding and newlines. Returns `None` for any other character that is
/// not a digit.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut word, mut bits) = (0u32, 0);
    for &byte in text.iter().filter(|&&b| b != b'=' && b != b'\n') {
        let value = DIGITS.iter().position(|&b| b == byte)?;
        word = word << 6 | value as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((word >> bits) as u8);
        }
    }
    Some(out)
}

/// Decodes base64 in its only canonical form: with padding, without newlines, and with zeros as the
/// unused bits of the last digit. Returns `None` for any other text.
pub fn decode_canonical(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if text.len() % 4 != 0 || text.len() - digits.len() > 2 {
        return None;
    }
    decode(digits.as_bytes()).filter(|bytes| encode(bytes) == digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_encoded_and_decoded_without_loss() {
        for len in 0..50u8 {
            let bytes: Vec<u8> = (0..len).map(|i| i.wrapping_mul(37)).collect();
            assert_eq!(decode(encode(&bytes).as_bytes()).unwrap(), bytes);
        }
        assert_eq!(encode(b"any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw");
    }

    #[test]
    fn only_the_canonical_form_is_decoded_strictly() {
        assert_eq!(decode_canonical("YW55IGNhcm5hbCBwbGVhcw=="), Some(b"any carnal pleas".to_vec()));
        assert_eq!(decode_canonical("AgAAAAAF").map(|bytes| bytes.len()), Some(6));
        for text in
            ["YW55IGNhcm5hbCBwbGVhcw", "YW55IGNhcm5hbCBwbGVhcx==", "AgAA\nAAF", "A===", "AgAAAAAF===="]
        {
            assert_eq!(decode_canonical(text), None, "{text:?}");
        }
    }
}
