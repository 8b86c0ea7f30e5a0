//! The socket's side of a session against streams that no pipe can be.

mod floods;
