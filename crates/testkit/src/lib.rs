//! Fakes at protocol level and the node harness for tests
