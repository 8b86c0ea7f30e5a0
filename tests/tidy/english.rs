//! Plain English: finds constructions that a native reader has to read twice, in comments, in
//! Markdown, in strings and in the names of tests.
//!
//! The list holds what a program can find. The rest is the author's: the subject is a noun, "if"
//! and "when" state conditions, a sentence is short.

use std::fmt;

use regex_automata::meta::Regex;

/// Constructions over one sentence, each with the way to say it.
const CONSTRUCTIONS: &[(&str, &str)] = &[
    (
        r"(?i)^(?:who|what|whoever|whatever|whichever) [^?]*$",
        "begin with a noun: a client that …, data that …",
    ),
    (r"^Where [^?]*$", "if, or when"),
    (
        r"(?i)(?:[;:,]|\b(?:and|or|but|of|for|by|to|from|than|that|with|on|at|all)) who\b",
        "name the one who does it: a client that …",
    ),
    (r"(?i)\b(?:whoever|whomever)\b", "a noun: a client that …"),
    (
        r"(?i)\b(?:behind|beside|before|after|except|than|all|of|from) what (?:is|was|are|were|it|they|has|had|waits|comes|goes|stays)\b",
        "name the thing: data that …, messages that …",
    ),
    (r"(?i)\bwhere (?:it|they|there) (?:is|are|was|were)\b", "if"),
    (r"(?i)\bat the most\b", "at most"),
    (r"(?i)\bat the least\b", "at least"),
    (r"(?i)\bany more(?:[.,;:)]|$)", "any longer, or no longer"),
    (
        r"(?i)\b(?:is|are|was|were|be|been|being) told\b",
        "logs, returns, receives, is called",
    ),
    (r"(?i)\blikewise\b", "also, too"),
    (r"(?i)\banew\b", "again"),
    (r"(?i)\bbut for\b", "except"),
    (r"(?i)\b(?:in vain|for want of)\b", "say what is missing"),
    (r"(?i)\bso (?:many|much) [a-z]+s\b", "this many"),
];

/// Sentences that one of the constructions finds wrongly, or that quote somebody.
const EXCEPTIONS: &[&str] = &[];

/// A place with one of the constructions.
#[derive(Debug)]
pub(super) struct Finding {
    line: usize,
    sentence: String,
    remedy: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}: {}", self.line, self.sentence, self.remedy)
    }
}

/// Reads a text sentence by sentence.
pub(super) struct Reader {
    constructions: Vec<(Regex, &'static str)>,
}

impl Reader {
    pub(super) fn new() -> Self {
        let compiled = CONSTRUCTIONS.iter().map(|(pattern, remedy)| {
            let regex = Regex::new(pattern).unwrap();
            (regex, *remedy)
        });
        Self {
            constructions: compiled.collect(),
        }
    }

    /// Findings in a Rust file: comments, strings of at least two words, names of functions.
    pub(super) fn read_rust(&self, text: &str) -> Vec<Finding> {
        let mut prose = Prose::default();
        let mut findings = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(comment) = comment(line) {
                prose.push(number, comment);
                continue;
            }
            prose.end_paragraph();
            for (_, literal) in literals(line) {
                if literal.contains(' ') {
                    prose.push(number, literal);
                    prose.end_paragraph();
                }
            }
            if let Some(name) = test_name(line) {
                findings.push(Finding {
                    line: number,
                    sentence: name.to_owned(),
                    remedy: "a name is a claim with a noun as its subject",
                });
            }
        }
        findings.extend(self.read(prose));
        findings
    }

    /// Findings in a Markdown file.
    pub(super) fn read_markdown(&self, text: &str) -> Vec<Finding> {
        let mut prose = Prose::default();
        for (number, line) in (1..).zip(text.lines()) {
            prose.push(number, line);
        }
        self.read(prose)
    }

    fn read(&self, mut prose: Prose) -> Vec<Finding> {
        prose.end_paragraph();
        let paragraphs = prose.paragraphs.iter();
        let sentences =
            paragraphs.flat_map(|(line, text)| sentences(text).map(move |text| (*line, text)));
        sentences
            .filter_map(|(line, sentence)| self.find(line, sentence))
            .collect()
    }

    fn find(&self, line: usize, sentence: &str) -> Option<Finding> {
        if EXCEPTIONS.iter().any(|known| sentence.contains(known)) {
            return None;
        }
        let mut found = self.constructions.iter();
        let (_, remedy) = found.find(|(regex, _)| regex.is_match(sentence))?;
        Some(Finding {
            line,
            sentence: sentence.to_owned(),
            remedy,
        })
    }
}

/// Paragraphs, each with the number of its first line.
#[derive(Default)]
struct Prose {
    paragraphs: Vec<(usize, String)>,
    begun: Option<(usize, String)>,
    is_code: bool,
}

impl Prose {
    fn push(&mut self, number: usize, line: &str) {
        let line = line.trim();
        if line.starts_with("```") {
            self.end_paragraph();
            self.is_code = !self.is_code;
            return;
        }
        if self.is_code {
            return;
        }
        let is_item = ["- ", "* ", "|", "#", "1. ", "2. ", "3. "];
        if line.is_empty() || is_item.iter().any(|mark| line.starts_with(mark)) {
            self.end_paragraph();
        }
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        let cells = line.trim_start_matches(['-', '*', '#', '|', ' ']);
        for cell in cells.split(" | ") {
            let (_, text) = self.begun.get_or_insert((number, String::new()));
            text.push_str(cell.trim());
            text.push(' ');
            if line.starts_with('|') {
                self.end_paragraph();
            }
        }
    }

    fn end_paragraph(&mut self) {
        let begun = self.begun.take();
        self.paragraphs
            .extend(begun.filter(|(_, text)| !text.trim().is_empty()));
    }
}

/// The text of a line that is a comment.
fn comment(line: &str) -> Option<&str> {
    let text = line.trim_start().strip_prefix("//")?;
    Some(text.trim_start_matches(['/', '!']))
}

/// Parts that end with a full stop, a colon or a semicolon, their code left out.
fn sentences(paragraph: &str) -> impl Iterator<Item = &str> {
    let ends = [". ", "? ", "! ", ": ", "; ", ".** ", ".* "];
    let mut rest = paragraph;
    std::iter::from_fn(move || {
        let rest_trimmed = rest.trim_start_matches([' ', '*', '_', '(']);
        if rest_trimmed.is_empty() {
            return None;
        }
        let end = ends.iter().filter_map(|end| rest_trimmed.find(end)).min();
        let end = end.map_or(rest_trimmed.len(), |end| end + 1);
        let (sentence, after) = rest_trimmed.split_at(end);
        rest = after;
        Some(sentence.trim())
    })
}

/// String literals of a line of code, without their quotes.
fn literals(line: &str) -> impl Iterator<Item = (usize, &str)> {
    line.split('"').enumerate().filter(|(at, _)| at % 2 == 1)
}

/// The name of a function that begins as a clause.
fn test_name(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let name = line.strip_prefix("async ").unwrap_or(line);
    let name = name.strip_prefix("fn ")?.split('(').next()?;
    let clauses = ["what_", "who_", "where_", "whoever_"];
    clauses
        .iter()
        .any(|clause| name.starts_with(clause))
        .then_some(name)
}

#[cfg(test)]
mod tests {
    use super::Reader;

    #[test]
    fn each_construction_is_found_in_comments_strings_and_names() {
        let rows = [
            ("// Who leaves is forgotten.", true),
            ("/// What waits is dropped.", true),
            ("/// A sentence. What waits is dropped.", true),
            (
                "/// A sentence that goes on\n/// in a line. Who leaves is forgotten.",
                true,
            ),
            ("//! - Where a queue is full, the policy decides.", true),
            ("/// | a | what waits |", true),
            ("// Bytes for who waits.", true),
            ("// Those are for whoever waits.", true),
            ("// It is deleted where it is empty.", true),
            ("// Sixteen at the most.", true),
            ("// Nothing is written any more.", true),
            ("// The owner is told.", true),
            ("// Likewise here.", true),
            ("// Asked anew.", true),
            ("// Nothing but for the last.", true),
            ("// Tried in vain.", true),
            ("// Takes so many bytes.", true),
            ("f(\"closed: who waits is dropped\");", true),
            ("fn what_is_encoded_is_decoded() {", true),
            ("async fn who_waits_is_woken() {", true),
            ("// What is a lane? A queue.", false),
            ("//! # What must hold\n//!\n//! A rule.", false),
            ("/// | what | owner |", false),
            ("// Reports what is missing.", false),
            ("// A client that leaves is forgotten.", false),
            ("// ```\n// Who leaves\n// ```", false),
            ("let where_it_is = \"anew\";", false),
            ("// Any more than that is refused.", false),
            ("// One client, or as many as there are.", false),
        ];
        for (text, is_found) in rows {
            let findings = Reader::new().read_rust(text);
            assert_eq!(!findings.is_empty(), is_found, "{text}: {findings:?}");
        }
    }

    #[test]
    fn markdown_is_read_paragraph_by_paragraph() {
        let reader = Reader::new();
        let found = reader.read_markdown("# What\n\nA word.\nWho leaves\nis forgotten.\n");
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].line, 3);
        assert!(
            reader
                .read_markdown("```text\nWho leaves\n```\n")
                .is_empty()
        );
    }
}
