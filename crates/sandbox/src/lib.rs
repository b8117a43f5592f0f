//! One instance, its state machine and the one task that owns it
