//! [`Fernet`]: `symmetric_encryption_keys`, as Python's `cryptography` encrypts with them.

use std::fmt;
use std::time::Duration;

use aes::Aes128;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use data_encoding::BASE64URL;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::output::Unreadable;

/// Encrypts with the first key, and decrypts with any, so that keys can be rotated.
#[derive(Clone)]
pub(super) struct Fernet {
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    signing: [u8; 16],
    encryption: [u8; 16],
}

impl Fernet {
    /// None without keys: then nothing is encrypted.
    pub(super) fn new<K: AsRef<[u8]>>(keys: impl IntoIterator<Item = K>) -> Option<Self> {
        let keys: Vec<_> = keys.into_iter().map(|key| Key::new(key.as_ref())).collect();
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// A token. `now` is in seconds since 1970; `iv` must be random.
    pub(super) fn encrypt(&self, plain: &[u8], now: u64, iv: [u8; 16]) -> Vec<u8> {
        let Some(key) = self.keys.first() else {
            return Vec::new();
        };
        let mut token = Vec::with_capacity(HEADER + plain.len() + 16 + TAG);
        token.push(VERSION);
        token.extend_from_slice(&now.to_be_bytes());
        token.extend_from_slice(&iv);
        let cipher = cbc::Encryptor::<Aes128>::new(&key.encryption.into(), &iv.into());
        token.extend_from_slice(&cipher.encrypt_padded_vec::<Pkcs7>(plain));
        let tag = key.mac(&token).finalize().into_bytes();
        token.extend_from_slice(&tag);
        BASE64URL.encode(&token).into_bytes()
    }

    /// Verifies a token and decrypts it. Its age is for the caller to check.
    pub(super) fn decrypt(&self, token: &[u8]) -> Result<Decrypted, Unreadable> {
        let token = BASE64URL.decode(token).map_err(|_| NO_TOKEN)?;
        let (body, tag) = token.split_last_chunk::<TAG>().ok_or(NO_TOKEN)?;
        let (header, cipher_text) = body.split_first_chunk::<HEADER>().ok_or(NO_TOKEN)?;
        let [VERSION, header @ ..] = header else {
            return Err(NO_TOKEN);
        };
        let (time, iv) = header.split_first_chunk::<8>().ok_or(NO_TOKEN)?;
        let iv: &[u8; 16] = iv.first_chunk().ok_or(NO_TOKEN)?;
        // The comparison takes the same time wherever the two differ.
        let signs = |key: &&Key| key.mac(body).verify_slice(tag).is_ok();
        let key = self.keys.iter().find(signs).ok_or(WRONG_KEY)?;
        let plain = cbc::Decryptor::<Aes128>::new(&key.encryption.into(), &(*iv).into())
            .decrypt_padded_vec::<Pkcs7>(cipher_text)
            .map_err(|_| NO_TOKEN)?;
        let made = u64::from_be_bytes(*time);
        Ok(Decrypted { made, plain })
    }
}

/// The content of a token that one of the keys has signed.
pub(super) struct Decrypted {
    /// In seconds since 1970, by the clock of the sender.
    made: u64,
    pub(super) plain: Vec<u8>,
}

impl Decrypted {
    /// Fails if the token is older than this, or more than a minute from the future, as in Python's
    /// `cryptography`.
    pub(super) fn check_age(&self, now: u64, max_age: Duration) -> Result<(), Unreadable> {
        if self.made.saturating_add(max_age.as_secs()) < now {
            return Err(Unreadable::OLD);
        }
        if now.saturating_add(CLOCKS_DIFFER) < self.made {
            return Err(Unreadable::FUTURE);
        }
        Ok(())
    }
}

/// Keys are not for logs.
impl fmt::Debug for Fernet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fernet")
            .field("keys", &self.keys.len())
            .finish()
    }
}

impl Key {
    /// Of a setting of any length, as channels_redis derives it.
    fn new(setting: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(setting).into();
        let (mut signing, mut encryption) = ([0; 16], [0; 16]);
        signing.copy_from_slice(&digest[..16]);
        encryption.copy_from_slice(&digest[16..]);
        Self {
            signing,
            encryption,
        }
    }

    fn mac(&self, bytes: &[u8]) -> Hmac<Sha256> {
        Hmac::<Sha256>::new(&{
            // A key that is shorter than a block is filled up with zeros.
            let mut key = [0; 64];
            key[..16].copy_from_slice(&self.signing);
            key.into()
        })
        .chain_update(bytes)
    }
}

const NO_TOKEN: Unreadable = Unreadable("it is not encrypted as it must be");
const WRONG_KEY: Unreadable = Unreadable("it is encrypted with none of the keys");

const VERSION: u8 = 0x80;
/// The version, the time and the initialisation vector.
const HEADER: usize = 1 + 8 + 16;
/// HMAC-SHA256.
const TAG: usize = 32;
/// In seconds, as in Python's `cryptography`.
const CLOCKS_DIFFER: u64 = 60;
