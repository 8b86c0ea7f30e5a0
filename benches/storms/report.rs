//! The results of a scenario: Markdown, and checks that hold or do not.

use std::fmt::{Display, Write};

#[derive(Default)]
pub(crate) struct Report {
    text: String,
    pub(crate) failures: usize,
}

impl Report {
    pub(crate) fn line(&mut self, line: impl Display) {
        // A string takes all.
        let _ = writeln!(self.text, "{line}");
    }

    /// The head of a table.
    pub(crate) fn head<const N: usize>(&mut self, cells: [&str; N]) {
        self.line("");
        self.row(cells);
        self.row(["---"; N]);
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [impl Display; N]) {
        let cells = cells.map(|cell| cell.to_string()).join(" | ");
        self.line(format_args!("| {cells} |"));
    }

    pub(crate) fn check(&mut self, holds: bool, what: impl Display) {
        if holds {
            self.line(format_args!("- holds: {what}"));
        } else {
            self.failures += 1;
            self.line(format_args!("- **fails**: {what}"));
        }
    }

    pub(crate) fn fail(&mut self, what: impl Display) {
        self.check(false, what);
    }

    /// The results since the last call.
    pub(crate) fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }
}
