//! Set-up as it is used: plans as they are printed, and carried out in a world of its own.

mod bundle;
mod engine;
mod fleet;
mod guide;
mod plans;
mod printed;
mod real;
mod world;
