//! Fan-outs, pending messages, compressed batches; and names for any bytes.

#[cfg(all(test, feature = "deflate"))]
mod compressed_batches;
#[cfg(test)]
mod fanout;
pub(crate) mod fuzz;
#[cfg(test)]
mod pending;
