//! `kubectl`. Its versions differ in little things; what is compared to the letter is the same in 1.20 and in 1.32.

mod read;
mod watch;
mod write;
