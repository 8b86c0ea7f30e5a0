//! Routes, their options, and the tutorial that begins with them.

mod route_options;
mod routes;
mod tutorial;
