//! Something that only its holder should know: an order's token, the staff's token.

use std::fmt::Write;
use std::{fmt, hint};

/// A secret word. It shows itself only where `reveal` is called.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(word: String) -> Self {
        Self(word)
    }

    /// 128 bits from the operating system, in hexadecimal.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        let mut word = String::with_capacity(2 * bytes.len());
        for byte in bytes {
            // Writing to a string cannot fail.
            let _ = write!(word, "{byte:02x}");
        }
        Ok(Self(word))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Compares in a time that depends on the lengths alone, so that answering slower never tells
    /// how much was guessed.
    pub(crate) fn matches(&self, guess: &str) -> bool {
        let (secret, guess) = (self.0.as_bytes(), guess.as_bytes());
        if secret.len() != guess.len() {
            return false;
        }
        let differing = secret
            .iter()
            .zip(guess)
            .fold(0, |differing, (a, b)| hint::black_box(differing | (a ^ b)));
        differing == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// The staff's token: it opens every order and moves it on.
#[derive(Clone, Debug)]
pub(crate) struct Staff(Secret);

impl Staff {
    pub(crate) fn new(token: Secret) -> Self {
        Self(token)
    }

    pub(crate) fn reveal(&self) -> &str {
        self.0.reveal()
    }

    pub(crate) fn matches(&self, guess: &str) -> bool {
        self.0.matches(guess)
    }
}

/// The token in the value of an `Authorization` header.
pub(crate) fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::{Secret, bearer};

    #[test]
    fn only_the_same_word_matches() {
        let secret = Secret::new("open sesame".to_owned());
        for (guess, matches) in [
            ("open sesame", true),
            ("open sesamE", false),
            ("open", false),
            ("", false),
        ] {
            assert_eq!(secret.matches(guess), matches, "{guess:?}");
        }
    }

    #[test]
    fn a_bearer_token_is_found_in_its_header() {
        for (header, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc", Some("abc")),
            ("Basic abc", None),
            ("abc", None),
        ] {
            assert_eq!(bearer(header), token, "{header:?}");
        }
    }

    #[test]
    fn random_words_differ_and_are_not_printed() -> Result<(), getrandom::Error> {
        let (one, other) = (Secret::random()?, Secret::random()?);
        assert_eq!(one.reveal().len(), 32);
        assert!(!one.matches(other.reveal()));
        assert!(!format!("{one:?}").contains(one.reveal()));
        Ok(())
    }
}
