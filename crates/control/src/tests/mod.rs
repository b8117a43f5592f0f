//! Families driven to their rest, as the executor would.

mod journeys;
mod properties;
mod refusals;
mod world;
