//! Images as files.

mod docker;
mod hostile;
mod maker;
mod round_trip;
