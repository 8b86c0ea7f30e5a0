//! Tables of what channels_redis writes and reads, and what must hold for any bytes.

mod codec;
mod fernet;
mod hostile;
mod names;
mod own;
mod properties;
mod values;
