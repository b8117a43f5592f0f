//! `kubectl`. What is compared to the letter is what the versions 1.20 (the package of Debian 12) and 1.33 both print.

mod apply;
mod cascade;
mod config;
mod explain;
mod foreground;
mod pods;
mod read;
mod validation;
mod watch;
mod write;
