//! Negotiating, compressing and inflating, against tables and against plain flate2.

mod compressing;
mod inflating;
mod negotiation;
