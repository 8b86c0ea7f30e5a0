//! Runs the tables, one test each, and counts them.

use std::collections::HashSet;

#[cfg(feature = "deflate")]
use crate::websocket::tests::cases::deflate;
use crate::websocket::tests::cases::row::Row;
use crate::websocket::tests::cases::{
    closing, control, fragments, framing, lengths, limits, masking, sequences, text,
};

#[test]
fn reserved_bits_and_opcodes_are_refused() {
    run(framing::rows());
}

#[test]
fn masking_is_demanded_of_clients_and_forbidden_to_servers() {
    run(masking::rows());
}

#[test]
fn lengths_have_one_form() {
    run(lengths::rows());
}

#[test]
fn fragments_make_one_message() {
    run(fragments::rows());
}

#[test]
fn control_frames_are_short_and_whole() {
    run(control::rows());
}

#[test]
fn close_bodies_are_read_and_checked() {
    run(closing::rows());
}

#[test]
fn text_is_utf8_or_refused_at_its_first_bad_byte() {
    run(text::rows());
}

#[test]
fn the_limit_counts_a_message_and_is_seen_in_the_header() {
    run(limits::rows());
}

#[test]
fn frames_follow_each_other() {
    run(sequences::rows());
}

#[cfg(feature = "deflate")]
#[test]
fn compressed_messages_are_inflated_or_refused() {
    run(deflate::rows());
}

#[test]
fn the_table_is_large_and_names_are_unique() {
    let tables = [
        framing::rows(),
        masking::rows(),
        lengths::rows(),
        fragments::rows(),
        control::rows(),
        closing::rows(),
        text::rows(),
        limits::rows(),
        sequences::rows(),
        #[cfg(feature = "deflate")]
        deflate::rows(),
    ];
    let rows: Vec<Row> = tables.into_iter().flatten().collect();
    let least = if cfg!(feature = "deflate") { 360 } else { 260 };
    assert!(rows.len() >= least, "{} rows", rows.len());
    let mut names = HashSet::new();
    for row in &rows {
        assert!(names.insert(&row.name), "two rows are named {}", row.name);
    }
}

fn run(rows: Vec<Row>) {
    for row in rows {
        row.run();
    }
}
