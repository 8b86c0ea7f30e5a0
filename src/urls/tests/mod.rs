//! Tests of the whole module: tables of rows by subject, and the table of routes against a naive
//! oracle.

mod converters;
mod errors;
mod expression;
mod fixture;
mod oracle;
mod path;
mod re_path;
mod table;
