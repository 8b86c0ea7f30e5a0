//! Masking (RFC 6455, 5.3): XOR with a repeated key of four bytes. Its own inverse.

/// Masks or unmasks `data` and returns the key for the byte that follows it.
///
/// The returned key is rotated, so a payload that arrives in pieces goes on without a position.
pub(super) fn apply(key: [u8; 4], data: &mut [u8]) -> [u8; 4] {
    let [a, b, c, d] = key;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = data.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(word.to_ne_bytes()) {
        *byte ^= key;
    }
    let turn = 8 * (data.len() % 4) as u32;
    u32::from_le_bytes(key).rotate_right(turn).to_le_bytes()
}
