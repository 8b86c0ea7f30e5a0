//! Masking (RFC 6455, 5.3): XOR with a repeated key of four bytes. Its own inverse.

use std::array;

/// Masks or unmasks `data` and returns the key for the byte that follows it.
///
/// The returned key is rotated, so a payload that arrives in pieces goes on without a position.
pub(super) fn apply(key: [u8; 4], data: &mut [u8]) -> [u8; 4] {
    // Wide blocks, so that the compiler takes the widest registers there are.
    let block: [u8; 32] = array::from_fn(|place| key[place % 4]);
    let (blocks, tail) = data.as_chunks_mut::<32>();
    for bytes in blocks {
        for (byte, key) in bytes.iter_mut().zip(block) {
            *byte ^= key;
        }
    }
    for (byte, key) in tail.iter_mut().zip(block) {
        *byte ^= key;
    }
    let turn = 8 * (data.len() % 4) as u32;
    u32::from_le_bytes(key).rotate_right(turn).to_le_bytes()
}
