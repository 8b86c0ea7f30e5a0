//! Tests of more than one file of the layer.

mod delivery;
