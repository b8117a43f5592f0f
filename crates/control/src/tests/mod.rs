//! Families driven to their rest, as the executor would.

mod journeys;
mod leaving;
mod properties;
mod refusals;
mod world;
