//! Knative Serving types, defaulting and validation; no I/O
