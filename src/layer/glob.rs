//! [`Glob`]: name patterns with `*` and `?`, as Channels' `channel_capacity` has them.

/// A pattern over group names: `*` stands for any text, `?` for one character.
#[derive(Clone, Debug)]
pub(crate) struct Glob(Box<str>);

impl Glob {
    pub(crate) fn new(pattern: &str) -> Self {
        Self(pattern.into())
    }

    /// Linear in the name for each `*`: only the last one is ever tried again.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut at, mut next) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while next < name.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    retry = Some((at, next));
                    at += 1;
                }
                Some(&c) if c == b'?' || c == name[next] => {
                    at += 1;
                    next += 1;
                }
                _ => {
                    let Some((star, from)) = retry else {
                        return false;
                    };
                    retry = Some((star, from + 1));
                    at = star + 1;
                    next = from + 1;
                }
            }
        }
        pattern[at..].iter().all(|&c| c == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn stars_and_question_marks() {
        let rows = [
            ("*", "anything", true),
            ("*", "", true),
            ("order_*", "order_5", true),
            ("order_*", "order_", true),
            ("order_*", "orders", false),
            ("order_?", "order_5", true),
            ("order_?", "order_55", false),
            ("*_ticker", "eur_usd_ticker", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
        ];
        for (pattern, name, matches) in rows {
            assert_eq!(
                Glob::new(pattern).matches(name),
                matches,
                "{pattern} {name}"
            );
        }
    }
}
