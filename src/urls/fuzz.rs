//! The rules of patterns and paths, for any text.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::urls::params::Params;
use crate::urls::pattern::Part;
use crate::urls::{Converters, Pattern, Table};

/// Reads a number of lines: a table of routes, then paths. The first byte chooses a table made
/// before, or says that lines up to an empty one are patterns, of which the ones that begin with
/// `~` are regular expressions.
///
/// - Any text is read as a pattern or refused with a sentence.
/// - A path means the first pattern that matches it alone, as a plain walk through the pattern's
///   pieces finds.
/// - Values are pieces of the path, and each is one that its converter takes.
///
/// # Panics
///
/// Panics if one of these rules is broken.
pub fn urls(data: &[u8]) {
    let Some((&choice, text)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(text);
    if usize::from(choice) < MADE.len() * 16 {
        let routes = &MADE[usize::from(choice) / 16];
        text.lines().take(8).for_each(|path| routes.check(path));
        return;
    }
    let (patterns, paths) = text.split_once("\n\n").unwrap_or((&text, ""));
    let Some(routes) = Routes::read(patterns) else {
        return;
    };
    paths.lines().take(8).for_each(|path| routes.check(path));
}

/// A table, and each of its patterns alone.
struct Routes {
    patterns: Vec<Pattern>,
    alone: Vec<Table>,
    table: Table,
}

impl Routes {
    /// The patterns that are none are left out.
    fn read(lines: &str) -> Option<Self> {
        let mut patterns: Vec<Pattern> = Vec::new();
        for line in lines.lines().take(4) {
            let read = match line.strip_prefix('~') {
                // Larger ones only take longer to compile.
                Some(expression) if expression.len() < 40 => Pattern::re_path(expression),
                Some(_) => continue,
                None => Pattern::path(line, &CONVERTERS),
            };
            // Every second one behind the one before it.
            let nested = match (read, patterns.last()) {
                (Ok(inner), Some(outer)) if patterns.len() % 2 == 1 && is_path(outer) => {
                    inner.nested_in(outer)
                }
                (read, _) => read,
            };
            match nested {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => assert!(error.to_string().len() > 20, "{error}"),
            }
        }
        let alone = patterns
            .iter()
            .map(|pattern| Table::new(vec![pattern.clone()]));
        Some(Self {
            alone: alone.collect::<Result<_, _>>().ok()?,
            table: Table::new(patterns.clone()).ok()?,
            patterns,
        })
    }

    fn check(&self, path: &str) {
        let found = self.table.find(path);
        let mut alone = self.alone.iter().enumerate();
        let first = alone.find_map(|(at, table)| Some((at, table.find(path)?.params)));
        let found = found.map(|found| (found.route, found.params));
        assert_eq!(
            found
                .as_ref()
                .map(|(at, params)| (*at, values(params, path))),
            first
                .as_ref()
                .map(|(at, params)| (*at, values(params, path))),
            "{path:?}"
        );
        let stripped = path.trim_start_matches('/');
        for (at, pattern) in self.patterns.iter().enumerate() {
            // A walk takes time for each way to part the path.
            let is_short = pattern.parts().len() <= 6 && path.len() <= 60;
            if !is_path(pattern) || !is_short {
                continue;
            }
            let own = self.alone[at]
                .find(path)
                .map(|found| values(&found.params, path).0);
            assert_eq!(own, means(pattern, stripped), "{pattern:?} {path:?}");
        }
    }
}

/// Named values and positional arguments.
type Values = (BTreeMap<String, String>, Vec<Option<String>>);

fn values(params: &Params, path: &str) -> Values {
    let named = params.iter(path);
    let named = named.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let args = params.args(path).map(|arg| arg.map(str::to_owned));
    (named.collect(), args.collect())
}

fn is_path(pattern: &Pattern) -> bool {
    let mut parts = pattern.parts().iter();
    parts.all(|part| !matches!(part, Part::Expression(_)))
}

/// The parameters that a `path()` finds in a whole path: a walk that takes as much as it can and
/// backtracks if the rest does not fit.
fn means(pattern: &Pattern, path: &str) -> Option<BTreeMap<String, String>> {
    let mut taken = Vec::new();
    if !walk(pattern.parts(), path, &mut taken) {
        return None;
    }
    let mut named = BTreeMap::new();
    for (name, kind, value) in taken {
        if kind == INT && value.parse::<u64>().is_err() {
            return None;
        }
        named.insert(name.to_owned(), value.to_owned());
    }
    Some(named)
}

fn walk<'a>(
    parts: &'a [Part],
    path: &'a str,
    taken: &mut Vec<(&'a str, &'a str, &'a str)>,
) -> bool {
    let Some((first, others)) = parts.split_first() else {
        return path.is_empty();
    };
    match first {
        Part::Literal(text) => path
            .strip_prefix(text.as_str())
            .is_some_and(|rest| walk(others, rest, taken)),
        Part::Parameter { name, conversion } => {
            for length in lengths(conversion.regex(), path) {
                let (value, rest) = path.split_at(length);
                taken.push((name, conversion.regex(), value));
                if walk(others, rest, taken) {
                    return true;
                }
                taken.pop();
            }
            false
        }
        Part::Expression(_) => unreachable!("only a path() is walked through"),
    }
}

/// How many bytes a built-in converter may take, the most first.
fn lengths(regex: &str, text: &str) -> Vec<usize> {
    let member = |c: char| match regex {
        INT => c.is_ascii_digit(),
        "[-a-zA-Z0-9_]+" => c.is_ascii_alphanumeric() || c == '-' || c == '_',
        "[^/]+" => c != '/',
        ".+" => c != '\n',
        _ => c == '-' || c.is_ascii_digit() || ('a'..='f').contains(&c),
    };
    let run = text.find(|c| !member(c)).unwrap_or(text.len());
    let is_uuid = |text: &str| {
        let groups: Vec<usize> = text.split('-').map(str::len).collect();
        groups == [8, 4, 4, 4, 12]
    };
    if regex.contains("{8}") {
        let fits = run >= 36 && is_uuid(&text[..36]);
        return fits.then_some(36).into_iter().collect();
    }
    let borders = (1..=run).filter(|&at| text.is_char_boundary(at));
    borders.rev().collect()
}

const INT: &str = "[0-9]+";

static CONVERTERS: LazyLock<Converters> = LazyLock::new(Converters::new);

/// Tables that are made once, so that paths are tried quickly: routes that share many paths, and
/// routes of every kind.
static MADE: LazyLock<Vec<Routes>> = LazyLock::new(|| {
    let tables = [
        "ws/<int:a>/\nws/<str:a>/<slug:b>/\n~ws/(?P<x>\\d+)/?(?P<y>[a-z]+)?$\n<path:p>",
        "<str:a>-<str:b>/x\n<slug:a>/<int:b>\n<uuid:u>/\n{a}/{b}/{c}",
        "~^a/(b)?/(c+)\nws/<path:p>/end\n~.*\\.json$\n<int:a><int:b>",
        "caf\u{e9}/{a}\n\u{2014}/<path:p>\n~\\w+\\s(x)\nws//<int:n>.{{}}",
    ];
    tables.into_iter().filter_map(Routes::read).collect()
});
