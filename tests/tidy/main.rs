//! The tree checks itself: imports point down, every file says what it is for, a crate is named in
//! its place only, and nothing lies about.
//!
//! The layers and the places of crates are read from `src/docs/architecture.md`, so that the
//! chapter stays true.

#![allow(
    clippy::unwrap_used,
    reason = "a tree that cannot be read should panic"
)]

mod english;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

#[test]
fn imports_point_down_the_layers_of_the_architecture_chapter() {
    let layers = Layers::parse(&block(&chapter(), "layers"));
    let files = rust_files(&["src"]);
    let modules: BTreeSet<_> = files.iter().filter_map(|file| module(&file.path)).collect();
    let listed: BTreeSet<_> = layers.0.keys().map(String::as_str).collect();
    assert_eq!(
        listed, modules,
        "the layers of the chapter (left) and what lies in src/ (right)"
    );
    assert_none(files.iter().flat_map(|file| upward_imports(file, &layers)));
}

#[test]
fn files_of_a_folder_do_not_import_each_other_in_a_circle() {
    for folder in WITHOUT_CIRCLES {
        let files = rust_files(&[folder]);
        assert!(!files.is_empty(), "{folder} is gone: update the list");
        assert_none(circle(&imports_within(folder, &files)));
    }
}

#[test]
fn every_file_opens_by_saying_what_it_is_for() {
    assert_none(
        rust_files(EVERYWHERE)
            .iter()
            .filter_map(without_opening_line),
    );
}

#[test]
fn an_import_names_one_module() {
    assert_none(rust_files(EVERYWHERE).iter().flat_map(mixed_imports));
}

#[test]
fn a_table_of_contents_holds_no_code() {
    let files = rust_files(&["src"]);
    let contents = files.iter().filter(|file| file.path.ends_with("/mod.rs"));
    assert_none(contents.flat_map(code_in_contents));
}

#[test]
fn a_source_file_can_be_read_in_one_sitting() {
    let files = rust_files(&["src"]);
    let own = files.iter().filter(|file| !file.path.contains("/tests/"));
    assert_none(own.filter_map(too_long));
}

#[test]
fn nothing_is_left_for_later() {
    assert_none(files(EVERYWHERE, is_text).iter().flat_map(left_for_later));
}

#[test]
fn a_crate_is_named_in_its_place_only() {
    let places = Places::parse(&block(&chapter(), "crates"));
    let listed: BTreeSet<_> = places.0.keys().cloned().collect();
    assert_eq!(
        listed,
        dependencies(&read("Cargo.toml")),
        "the crates of the chapter (left) and [dependencies] in Cargo.toml (right)"
    );
    let files = rust_files(&["src"]);
    assert_none(
        files
            .iter()
            .flat_map(|file| misplaced_crates(file, &places)),
    );
    assert_none(places.without_use(&files));
}

#[test]
fn links_of_the_readme_lead_somewhere() {
    assert_none(dead_links(&File::new("README.md", read("README.md"))));
}

#[test]
fn a_line_that_a_client_can_cause_is_sampled() {
    let files = rust_files(&["src"]);
    assert_none(files.iter().flat_map(unsampled_lines));
}

#[test]
fn the_text_is_plain_english() {
    let reader = english::Reader::new();
    let mut texts = files(EVERYWHERE, is_text);
    texts.push(File::new("README.md", read("README.md")));
    // It lists the constructions.
    texts.retain(|file| file.path != "tests/tidy/english.rs");
    assert_none(texts.iter().flat_map(|file| {
        let findings = match file.path.rsplit('.').next() {
            Some("rs") => reader.read_rust(&file.text),
            Some("md") => reader.read_markdown(&file.text),
            _ => Vec::new(),
        };
        let path = &file.path;
        findings
            .into_iter()
            .map(move |finding| format!("{path}:{finding}"))
            .collect::<Vec<_>>()
    }));
}

#[test]
fn the_top_level_holds_the_known_entries_only() {
    let entries = fs::read_dir(ROOT).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_none(names.filter(|name| !is_known_at_top(name)));
}

/// A source file, its path from the root with `/`.
struct File {
    path: String,
    text: String,
    /// The text with comments, strings and characters blanked out, line for line.
    code: String,
}

impl File {
    fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            path: path.into(),
            code: code_of(&text),
            text,
        }
    }

    fn finding(&self, at: usize, what: impl std::fmt::Display) -> String {
        let line = self.text[..at].lines().count().max(1);
        format!("{}:{line}: {what}", self.path)
    }
}

/// Modules of the crate's root, each with its layer; the top one is 0.
struct Layers(BTreeMap<String, usize>);

impl Layers {
    fn parse(block: &str) -> Self {
        let mut layers = BTreeMap::new();
        for (layer, line) in block.lines().enumerate() {
            for name in line.split_whitespace().map_while(entry) {
                assert!(
                    layers.insert(name.to_owned(), layer).is_none(),
                    "{name} stands on two layers"
                );
            }
        }
        Self(layers)
    }
}

/// `scope.rs` and `urls/` are entries; the first word of an explanation is none.
fn entry(word: &str) -> Option<&str> {
    word.strip_suffix('/').or_else(|| word.strip_suffix(".rs"))
}

/// The module of the crate's root that a source file belongs to.
fn module(path: &str) -> Option<&str> {
    let path = path.strip_prefix("src/")?;
    let first = path.split('/').next()?;
    Some(first.strip_suffix(".rs").unwrap_or(first))
}

/// Paths that lead to a higher layer, or through what the root exports.
fn upward_imports(file: &File, layers: &Layers) -> Vec<String> {
    let Some(own) = module(&file.path).and_then(|module| layers.0.get(module)) else {
        return vec![format!("{} is on no layer", file.path)];
    };
    let is_child_of_root = file.path.matches('/').count() == 1 || file.path.ends_with("/mod.rs");
    let mut findings = Vec::new();
    for (at, start, next) in paths(&file.code) {
        let known = layers.0.get(next);
        let what = match (start, known) {
            _ if *own == 0 => continue,
            ("crate", Some(layer)) if layer < own => format!("an upward import of {next}"),
            ("crate", None) => format!("crate::{next} is no module: name the module that owns it"),
            ("super", Some(layer)) if is_child_of_root && layer < own => {
                format!("an upward import of {next}")
            }
            ("super", None) if next == "super" => "super::super: begin at crate".to_owned(),
            _ => continue,
        };
        findings.push(file.finding(at, what));
    }
    findings
}

/// Paths such as `crate::layer` and `super::group`: their place, first and second part.
fn paths(code: &str) -> Vec<(usize, &str, &str)> {
    let starts = words(code).filter(|(_, word)| matches!(*word, "crate" | "super"));
    starts
        .filter_map(|(at, start)| {
            let rest = code[at + start.len()..].strip_prefix("::")?;
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let next = if end == 0 { &rest[..1] } else { &rest[..end] };
            let is_start = start == "crate" || !code[..at].ends_with("super::");
            is_start.then_some((at, start, next))
        })
        .collect()
}

/// For each file directly in the folder, the files beside it that it imports from.
fn imports_within(folder: &str, files: &[File]) -> BTreeMap<String, BTreeSet<String>> {
    let name = |file: &File| {
        let name = file.path.strip_prefix(folder)?.strip_suffix(".rs")?;
        (name != "mod" && !name.contains('/')).then(|| name.to_owned())
    };
    let names: BTreeSet<_> = files.iter().filter_map(name).collect();
    let mut graph = BTreeMap::new();
    for file in files {
        let Some(own) = name(file) else { continue };
        let imports = paths(&file.code).into_iter();
        let imports = imports.filter(|(_, start, next)| *start == "super" && *next != own);
        let imports = imports.map(|(_, _, next)| next.to_owned());
        let imports = imports.filter(|next| names.contains(next)).collect();
        graph.insert(own, imports);
    }
    graph
}

/// The files that are left once all files that import none of the others have been removed.
fn circle(graph: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    let mut left: BTreeSet<_> = graph.keys().collect();
    loop {
        let before = left.len();
        let kept = left.clone();
        left.retain(|file| graph[*file].iter().any(|import| kept.contains(import)));
        if left.is_empty() {
            return None;
        }
        if left.len() == before {
            return Some(format!(
                "a circle of imports, or files that lead to one: {left:?}"
            ));
        }
    }
}

fn without_opening_line(file: &File) -> Option<String> {
    let opening = file.text.lines().next().unwrap_or_default();
    let says = opening
        .strip_prefix("//! ")
        .is_some_and(|text| text.len() > 10);
    (!says).then(|| format!("{}: does not open with `//! `", file.path))
}

/// Globs, and trees that reach into several modules.
fn mixed_imports(file: &File) -> Vec<String> {
    let mut findings = Vec::new();
    for (at, _) in words(&file.code).filter(|(_, word)| *word == "use") {
        // `impl Trait + use<'a>` imports nothing.
        if file.code[at..].starts_with("use<") {
            continue;
        }
        let import = file.code[at..].split(';').next().unwrap_or_default();
        let tree = import
            .split_once('{')
            .map(|(before, tree)| (before.trim_end(), tree));
        if import.contains('*') {
            findings.push(file.finding(at, "a glob import"));
        } else if tree.is_some_and(|(before, tree)| {
            before.ends_with("crate::") && file.path.starts_with("src/") || tree.contains("::")
        }) {
            findings.push(file.finding(at, "a tree of several modules: one module per `use`"));
        }
    }
    findings
}

fn code_in_contents(file: &File) -> Vec<String> {
    let contents = [
        "mod ",
        "use ",
        "pub mod ",
        "pub use ",
        "pub(crate) ",
        "pub(super) ",
        "#[",
    ];
    let lines = file.code.lines().map(str::trim).enumerate();
    lines
        .filter(|(_, line)| !line.is_empty())
        .filter(|(_, line)| !contents.iter().any(|begin| line.starts_with(begin)))
        .map(|(at, line)| {
            format!(
                "{}:{}: code in a table of contents: {line}",
                file.path,
                at + 1
            )
        })
        .collect()
}

fn too_long(file: &File) -> Option<String> {
    let lines = file.text.lines().count();
    (lines > MAX_LINES).then(|| format!("{}: {lines} lines, more than {MAX_LINES}", file.path))
}

/// Notes to oneself in any text, and macros that stand for them in Rust.
fn left_for_later(file: &File) -> Vec<String> {
    // In two halves, or this file would be found.
    let notes = [["TO", "DO"], ["FIX", "ME"]].map(|halves| halves.concat());
    let is_note = |word: &str| notes.iter().any(|note| note == word);
    let noted = words(&file.text).filter(|(_, word)| is_note(word));
    let macros = words(&file.code).filter(|(at, word)| {
        matches!(*word, "todo" | "unimplemented" | "dbg")
            && file.path.ends_with(".rs")
            && file.code[at + word.len()..].starts_with('!')
    });
    noted
        .chain(macros)
        .map(|(at, word)| file.finding(at, format!("left for later: {word}")))
        .collect()
}

/// For each crate the beginnings of the paths where it may be named; none is anywhere.
struct Places(BTreeMap<String, Vec<String>>);

impl Places {
    fn parse(block: &str) -> Self {
        let mut places = BTreeMap::new();
        for line in block.lines() {
            let (names, rest): (Vec<_>, Vec<_>) = line
                .split_whitespace()
                .partition(|word| entry(word).is_none() && *word != "anywhere");
            let rest = rest.into_iter().filter(|word| *word != "anywhere");
            let rest: Vec<_> = rest.map(|place| format!("src/{place}")).collect();
            for name in names {
                places.insert(name.to_owned(), rest.clone());
            }
        }
        Self(places)
    }

    /// Places where the crate is not named after all.
    fn without_use(&self, files: &[File]) -> Vec<String> {
        let mut findings = Vec::new();
        for (name, places) in &self.0 {
            let ident = name.replace('-', "_");
            for place in places {
                let mut there = files.iter().filter(|file| file.path.starts_with(place));
                if !there.any(|file| crate_paths(&file.code).any(|(_, word)| word == ident)) {
                    findings.push(format!(
                        "{place} does not name {name}: strike it from the chapter"
                    ));
                }
            }
        }
        findings
    }
}

fn misplaced_crates(file: &File, places: &Places) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, places) in places.0.iter().filter(|(_, places)| !places.is_empty()) {
        if places.iter().any(|place| file.path.starts_with(place)) {
            continue;
        }
        let ident = name.replace('-', "_");
        let named = crate_paths(&file.code).filter(|(_, word)| *word == ident);
        findings.extend(named.map(|(at, _)| file.finding(at, format!("{name} is not for here"))));
    }
    findings
}

/// Lines above DEBUG in what clients reach, around the sampler.
fn unsampled_lines(file: &File) -> Vec<String> {
    let is_reached = CLIENTS_REACH.iter().any(|part| file.path.starts_with(part));
    if !is_reached || LOGGED_ONCE.contains(&file.path.as_str()) {
        return Vec::new();
    }
    let levels = ["error", "warn", "info"].map(|level| format!("tracing::{level}!"));
    let found = levels
        .iter()
        .flat_map(|level| file.code.match_indices(level.as_str()));
    found
        .map(|(at, level)| file.finding(at, format!("{level} around `sampled!`")))
        .collect()
}

/// Words that begin a path: `hyper` in `hyper::body`, neither of `self.hyper` and `super::hyper`.
fn crate_paths(code: &str) -> impl Iterator<Item = (usize, &str)> {
    words(code).filter(|(at, word)| {
        let before = code[..*at].trim_end();
        code[at + word.len()..].starts_with("::")
            && !before.ends_with("::")
            && !before.ends_with('.')
    })
}

/// The names in `[dependencies]`.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let section = manifest
        .split("\n[dependencies]\n")
        .nth(1)
        .unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    section
        .lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name.to_owned())
        .filter(|name| !name.starts_with('#'))
        .collect()
}

/// Links to files and headings that do not exist, and to chapters: their own links to items work in
/// the rendered book only.
fn dead_links(file: &File) -> Vec<String> {
    let mut findings = Vec::new();
    for (at, _) in file.text.match_indices("](") {
        let target = file.text[at + 2..].split(')').next().unwrap_or_default();
        let (path, heading) = target.split_once('#').unwrap_or((target, ""));
        if target.starts_with("https://") {
            continue;
        }
        let is_dead = match path {
            "" => !headings(&file.text).any(|known| known == heading),
            _ => !heading.is_empty() || !Path::new(ROOT).join(path).exists(),
        };
        if is_dead {
            findings.push(file.finding(at, format!("a link to nothing: {target}")));
        } else if path.ends_with(".md") && read(path).contains("](crate::") {
            let what = format!("{path} has links that work in the rendered book only: name that");
            findings.push(file.finding(at, what));
        }
    }
    findings
}

/// The headings of a Markdown file, each as its link spells it.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().filter(|line| line.starts_with('#'));
    lines.map(|line| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| is_word(*c) || " -".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

fn is_known_at_top(name: &str) -> bool {
    let known = [
        "Cargo.toml",
        "Cargo.lock",
        "src",
        "examples",
        "benches",
        "tests",
        "README.md",
        "LICENSE",
        // Files that cargo makes: its output, and the original manifest in a published package.
        "target",
        "Cargo.toml.orig",
    ];
    name.starts_with('.') || known.contains(&name)
}

/// Blanks out comments, strings and characters, so that a scan meets code only. Line breaks and
/// lengths stay.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let follows_word = code.ends_with(is_word);
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment(rest)
        } else if !follows_word && (c == 'r' || rest.starts_with("br")) {
            raw_string(rest)
        } else if c == '"' {
            string(rest)
        } else if c == '\'' {
            character(rest)
        } else {
            0
        };
        if skipped == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let (blanked, after) = rest.split_at(skipped);
        code.extend(blanked.bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }));
        rest = after;
    }
    code
}

/// The length of a block comment, nested ones within.
fn comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let step = rest.as_bytes().get(at..at + 2);
        match step {
            Some(b"/*") => depth += 1,
            Some(b"*/") => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// The length of `r"…"`, `r#"…"#`, `br"…"`, or 0.
fn raw_string(rest: &str) -> usize {
    let body = rest.trim_start_matches('b');
    let hashes = body[1..].bytes().take_while(|b| *b == b'#').count();
    let opening = rest.len() - body.len() + 1 + hashes;
    if !rest[opening..].starts_with('"') {
        return 0;
    }
    let closing = format!("\"{}", "#".repeat(hashes));
    let end = rest[opening + 1..]
        .find(&closing)
        .map(|at| opening + 1 + at + closing.len());
    end.unwrap_or(rest.len())
}

fn string(rest: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !is_escaped => return at + 1,
            _ => is_escaped = c == '\\' && !is_escaped,
        }
    }
    rest.len()
}

/// The length of `'x'` or `'\n'`; 0 for a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => chars.find(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

/// All words with their places.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text[at..].find(is_word)?;
        let rest = &text[start..];
        let end = start + rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        at = end;
        Some((start, &text[start..end]))
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn chapter() -> String {
    read("src/docs/architecture.md")
}

/// The content of the chapter's code block that is marked with this word.
fn block(chapter: &str, mark: &str) -> String {
    let fence = format!("```text {mark}\n");
    let (_, rest) = chapter.split_once(&fence).unwrap();
    rest.split("```").next().unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

fn rust_files(folders: &[&str]) -> Vec<File> {
    files(folders, |name| name.ends_with(".rs"))
}

fn is_text(name: &str) -> bool {
    let known = [
        ".rs", ".md", ".toml", ".py", ".sh", ".js", ".html", ".css", ".sql", ".txt",
    ];
    known.iter().any(|ending| name.ends_with(ending))
}

/// Files below these folders, build output left out.
fn files(folders: &[&str], wanted: impl Fn(&str) -> bool) -> Vec<File> {
    let mut files = Vec::new();
    let mut folders: Vec<String> = folders.iter().map(|folder| (*folder).to_owned()).collect();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(Path::new(ROOT).join(&folder)) else {
            continue;
        };
        for entry in entries.map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let path = format!("{folder}/{name}");
            if entry.file_type().unwrap().is_dir() {
                if !matches!(&*name, "target" | "node_modules" | "__pycache__" | "corpus") {
                    folders.push(path);
                }
            } else if wanted(&name) {
                let text = read(&path);
                files.push(File::new(path, text));
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

fn assert_none(findings: impl IntoIterator<Item = String>) {
    let findings: Vec<_> = findings.into_iter().collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const EVERYWHERE: &[&str] = &["src", "tests", "examples", "benches"];
const MAX_LINES: usize = 600;
/// Folders whose files import each other in one direction only.
const WITHOUT_CIRCLES: &[&str] = &[
    "src/budget/",
    "src/broadcast/",
    "src/broadcast/",
    "src/budget/",
    "src/mailbox/",
    "src/session/",
];
/// The parts of the source whose lines follow from what a client does.
const CLIENTS_REACH: &[&str] = &[
    "src/consumer/",
    "src/handshake/",
    "src/mailbox/",
    "src/router.rs",
    "src/scope.rs",
    "src/service.rs",
    "src/session/",
];
/// Of these, files whose lines are logged once, at the start or in a service's life.
const LOGGED_ONCE: &[&str] = &["src/handshake/origin.rs", "src/session/sockets.rs"];

/// The scanners on small texts: each finds what it is for, and lets the like of it be.
mod scanners {
    use super::{File, Layers, Places};

    const FLOORS: &str =
        "lib.rs docs/   the face, in lib.rs\nrouter.rs\nlayer/ scope.rs\nerror.rs\n";

    #[test]
    fn an_upward_import_is_found() {
        let layers = Layers::parse(FLOORS);
        let rows = [
            ("src/layer/a.rs", "use crate::error::Error;", 0),
            ("src/layer/a.rs", "use crate::scope::Scope;", 0),
            ("src/layer/a.rs", "use crate::layer::b::B;", 0),
            ("src/layer/a.rs", "use super::router::Cell;", 0),
            ("src/layer/a.rs", "/// [`Router`](crate::router::Router)", 0),
            ("src/layer/a.rs", "let text = \"crate::router\";", 0),
            ("src/lib.rs", "pub use crate::layer::Layer;", 0),
            ("src/layer/a.rs", "use crate::router::Router;", 1),
            ("src/layer/a.rs", "fn f(r: &crate::router::Router) {}", 1),
            ("src/layer/a.rs", "use crate::Router;", 1),
            ("src/layer/a.rs", "use crate::{error, scope};", 1),
            ("src/layer/a.rs", "use crate::docs::x;", 1),
            ("src/layer/a.rs", "use super::super::router::Router;", 1),
            ("src/layer/mod.rs", "use super::router::Router;", 1),
            ("src/scope.rs", "use super::router::Router;", 1),
            ("src/scope.rs", "mod tests { use super::Scope; }", 0),
            (
                "src/error.rs",
                "use crate::scope::Scope;\nuse crate::layer::L;",
                2,
            ),
            ("src/other.rs", "", 1),
        ];
        for (path, text, found) in rows {
            let findings = super::upward_imports(&File::new(path, text), &layers);
            assert_eq!(findings.len(), found, "{path}: {text}: {findings:?}");
        }
        let file = File::new("src/error.rs", "//! Errors.\n\nuse crate::scope::Scope;\n");
        let finding = super::upward_imports(&file, &layers).remove(0);
        assert_eq!(finding, "src/error.rs:3: an upward import of scope");
    }

    #[test]
    fn a_mixed_import_is_found() {
        let rows = [
            ("use std::sync::Arc;", false),
            ("use std::sync::{Arc, Mutex};", false),
            ("pub use a::B as C;", false),
            ("// use a::*;", false),
            ("fn f() -> impl A + use<'_> { a * b }", false),
            ("use super::*;", true),
            ("mod tests { use super::*; }", true),
            ("pub use a::b::*;", true),
            ("use crate::{a, b};", true),
            ("use std::{fmt, io::Read};", true),
            ("use std::{\n    fmt,\n    io::Read,\n};", true),
        ];
        for (text, found) in rows {
            let findings = super::mixed_imports(&File::new("src/a.rs", text));
            assert_eq!(!findings.is_empty(), found, "{text}");
        }
    }

    #[test]
    fn a_circle_within_a_folder_is_found() {
        let circle = |texts: [&str; 3]| {
            let names = ["a", "b", "c"];
            let files = names.iter().zip(texts);
            let files: Vec<_> = files
                .map(|(name, text)| File::new(format!("src/x/{name}.rs"), text))
                .collect();
            super::circle(&super::imports_within("src/x/", &files)).is_some()
        };
        let (a, b, c) = ("use super::a::A;", "use super::b::B;", "use super::c::C;");
        assert!(!circle([b, c, ""]));
        assert!(!circle([&format!("{b}\n{c}"), c, ""]));
        assert!(!circle(["// use super::b::B;", a, "use crate::y::b::B;"]));
        assert!(circle([b, a, ""]));
        assert!(circle([b, c, a]));
    }

    #[test]
    fn a_crate_out_of_its_place_is_found() {
        let places = Places::parse("hyper   server/ service.rs\nbytes http    anywhere\n");
        let rows = [
            ("src/server/a.rs", "use hyper::body::Incoming;", false),
            ("src/service.rs", "fn f(b: hyper::body::Incoming) {}", false),
            ("src/layer/a.rs", "use bytes::Bytes;", false),
            ("src/layer/a.rs", "use hyper_util::rt::TokioIo;", false),
            ("src/layer/a.rs", "use super::hyper::X;", false),
            ("src/layer/a.rs", "//! See hyper::server.", false),
            ("src/layer/a.rs", "use hyper::body::Incoming;", true),
            ("src/layer/a.rs", "fn f() -> Option<hyper::Error> {}", true),
        ];
        for (path, text, found) in rows {
            let findings = super::misplaced_crates(&File::new(path, text), &places);
            assert_eq!(!findings.is_empty(), found, "{path}: {text}");
        }
        let files = [File::new("src/service.rs", "use hyper::Error;")];
        let stale = places.without_use(&files);
        assert_eq!(stale.len(), 1, "{stale:?}");
    }

    #[test]
    fn a_line_around_the_sampler_is_found() {
        let rows = [
            ("src/session/a.rs", "tracing::warn!(path, \"a\");", true),
            ("src/service.rs", "tracing::error!(\"a\");", true),
            (
                "src/service.rs",
                "sampled!(log, error, \"a\", \"a\");",
                false,
            ),
            ("src/session/a.rs", "tracing::debug!(\"a\");", false),
            ("src/session/a.rs", "// tracing::warn!", false),
            ("src/session/sockets.rs", "tracing::warn!(\"a\");", false),
            ("src/layer/recovery.rs", "tracing::warn!(\"a\");", false),
        ];
        for (path, text, found) in rows {
            let findings = super::unsampled_lines(&File::new(path, text));
            assert_eq!(!findings.is_empty(), found, "{path}: {text}");
        }
    }

    #[test]
    fn notes_for_later_are_found() {
        let rows = [
            (format!("// {}{}: mend", "TO", "DO"), true),
            (format!("x {}{} y", "FIX", "ME"), true),
            (format!("{}!()", "todo"), true),
            (format!("a({}!(b))", "dbg"), true),
            (format!("let {} = 1;", "todo"), false),
            (format!("// no {}!() here", "dbg"), false),
        ];
        for (text, found) in rows {
            let findings = super::left_for_later(&File::new("src/a.rs", text.clone()));
            assert_eq!(!findings.is_empty(), found, "{text}");
        }
    }

    #[test]
    fn a_file_without_an_opening_line_or_too_long_is_found() {
        for (text, opens) in [
            ("//! The purpose of a file.\n", true),
            ("// A comment.\n", false),
            ("//!\n", false),
            ("use std::fmt;\n", false),
            ("", false),
        ] {
            let finding = super::without_opening_line(&File::new("src/a.rs", text));
            assert_eq!(finding.is_none(), opens, "{text:?}");
        }
        let lines = |count: usize| File::new("src/a.rs", "//\n".repeat(count));
        assert!(super::too_long(&lines(super::MAX_LINES)).is_none());
        assert!(super::too_long(&lines(super::MAX_LINES + 1)).is_some());
    }

    #[test]
    fn code_in_a_table_of_contents_is_found() {
        let contents = "//! Docs.\n\nmod a;\n\n#[cfg(test)]\nmod tests;\n\npub use a::A;\npub(crate) use a::B;\n";
        assert!(super::code_in_contents(&File::new("src/a/mod.rs", contents)).is_empty());
        for code in ["fn f() {}", "struct A;", "const A: u8 = 1;", "impl A {}"] {
            let file = File::new("src/a/mod.rs", format!("{contents}{code}\n"));
            assert_eq!(super::code_in_contents(&file).len(), 1, "{code}");
        }
    }

    #[test]
    fn a_dead_link_is_found() {
        let rows = [
            ("[a](LICENSE)", false),
            ("[a](src/docs/)", false),
            ("[a](https://example.com/#a)", false),
            ("# Who's first?\n[a](#whos-first)", false),
            ("## A b\n[a](#b)", true),
            ("[a](LICENCE)", true),
            ("[a](LICENSE#part)", true),
            ("[a](src/docs/architecture.md)", true),
        ];
        for (text, found) in rows {
            let findings = super::dead_links(&File::new("README.md", text));
            assert_eq!(!findings.is_empty(), found, "{text}: {findings:?}");
        }
    }

    #[test]
    fn an_unknown_entry_at_the_top_is_found() {
        for (name, known) in [
            ("src", true),
            (".ci", true),
            ("Cargo.lock", true),
            ("notes.md", false),
            ("build.rs", false),
            ("src2", false),
        ] {
            assert_eq!(super::is_known_at_top(name), known, "{name}");
        }
    }

    #[test]
    fn only_code_is_left_of_a_text() {
        let rows = [
            ("a // b", "a"),
            ("a /* b /* c */ d */ e", "a e"),
            ("a(\"b\\\"c\", d)", "a( , d)"),
            ("a(r\"b\\\", c)", "a( , c)"),
            ("a(r#\"b\"c\"#, d)", "a( , d)"),
            ("a(b\"c\", br\"d\", e)", "a(b , , e)"),
            ("a('b', '\\'', '\\n', c)", "a( , , , c)"),
            ("fn f<'a>(a: &'a str) {}", "fn f<'a>(a: &'a str) {}"),
            ("let char_r = for_r\"\";", "let char_r = for_r ;"),
            ("\"é\" a", "a"),
        ];
        for (text, code) in rows {
            let got = super::code_of(text);
            assert_eq!(got.len(), text.len(), "{text}");
            let got: Vec<_> = got.split_whitespace().collect();
            assert_eq!(got, code.split_whitespace().collect::<Vec<_>>(), "{text}");
        }
    }

    #[test]
    fn the_names_of_a_manifest_are_read() {
        let manifest = "[package]\nname = \"a\"\n\n[dependencies]\nb = \"1\"\n# c = \"1\"\nd = { version = \"1\" }\n\n[dev-dependencies]\ne = \"1\"\n";
        let names: Vec<_> = super::dependencies(manifest).into_iter().collect();
        assert_eq!(names, ["b", "d"]);
    }
}
