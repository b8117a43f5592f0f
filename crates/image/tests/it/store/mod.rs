//! What is kept, and that it stays usable.

mod collecting;
mod damage;
mod full;
mod references;
mod roots;
