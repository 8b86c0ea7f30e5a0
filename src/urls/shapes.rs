//! The index of patterns with a fixed number of segments, by matchit: which routes are worth asking
//! about a path.
//!
//! A [`Shape`] says of every segment either its exact text or nothing at all, so it matches
//! whatever its pattern matches, and often more. Patterns of equal shape share a leaf of the tree,
//! and a leaf lists the routes of every shape that has a path in common with its own. matchit
//! answers with one leaf, by its own rules of precedence; but whichever leaf it is, a pattern that
//! matches the path has a shape that matches it too, hence a path in common with the leaf's, hence
//! a place in its list.

use std::collections::BTreeMap;

use crate::urls::pattern::{Part, Pattern};

/// The tree of shapes.
#[derive(Debug)]
pub(super) struct Shapes {
    leaves: matchit::Router<Vec<usize>>,
}

impl Shapes {
    /// Indexes what has a shape, and names the routes that are not in the index.
    pub(super) fn new(patterns: &[Pattern]) -> (Self, Vec<usize>) {
        let mut routes = BTreeMap::<Shape, Vec<usize>>::new();
        let mut others = Vec::new();
        for (route, pattern) in patterns.iter().enumerate() {
            match Shape::of(pattern.parts()) {
                Some(shape) => routes.entry(shape).or_default().push(route),
                None => others.push(route),
            }
        }
        let mut leaves = matchit::Router::new();
        for (shape, own) in &routes {
            let overlapping = routes.iter().filter(|(other, _)| shape.overlaps(other));
            let candidates = overlapping.flat_map(|(_, routes)| routes).copied();
            // No two shapes conflict in the eyes of matchit; were it to think otherwise, the routes
            // would lose this index, not their meaning.
            if leaves.insert(shape.key(), candidates.collect()).is_err() {
                others.extend(own);
            }
        }
        (Self { leaves }, others)
    }

    /// The routes of which alone one can match `path`, in no order.
    pub(super) fn candidates(&self, path: &str) -> &[usize] {
        match self.leaves.at(path) {
            Ok(leaf) => leaf.value,
            Err(matchit::MatchError::NotFound) => &[],
        }
    }
}

/// A superset of a pattern: one entry per segment.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Shape(Vec<Segment>);

#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Segment {
    Text(String),
    /// Any text but none and `/`.
    Any,
}

impl Shape {
    /// The shape of a pattern, or `None` where a value may span slashes or be empty, or matchit has
    /// no room for it.
    fn of(parts: &[Part]) -> Option<Self> {
        let mut segments = vec![Segment::Text(String::new())];
        for part in parts {
            match part {
                Part::Literal(text) => {
                    let mut texts = text.split('/').map(str::to_owned);
                    let first = texts.next().unwrap_or_default();
                    if let Some(Segment::Text(begun)) = segments.last_mut() {
                        begun.push_str(&first);
                    }
                    segments.extend(texts.map(Segment::Text));
                }
                Part::Parameter { conversion, .. } if conversion.stays_in_segment() => {
                    segments.pop();
                    segments.push(Segment::Any);
                }
                Part::Parameter { .. } | Part::Expression(_) => return None,
            }
        }
        let open = segments.iter().filter(|segment| **segment == Segment::Any);
        (open.count() <= MAX_PARAMETERS).then_some(Self(segments))
    }

    /// Whether some path has both shapes.
    fn overlaps(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|pair| match pair {
                (Segment::Text(one), Segment::Text(other)) => one == other,
                (Segment::Any, _) | (_, Segment::Any) => true,
            })
    }

    /// The shape in matchit's notation.
    fn key(&self) -> String {
        let segments: Vec<String> = self.0.iter().map(Segment::key).collect();
        segments.join("/")
    }
}

impl Segment {
    fn key(&self) -> String {
        match self {
            Self::Text(text) => text.replace('{', "{{").replace('}', "}}"),
            Self::Any => "{segment}".to_owned(),
        }
    }
}

/// matchit names parameters by the letters of the alphabet and panics behind the last.
const MAX_PARAMETERS: usize = 25;
