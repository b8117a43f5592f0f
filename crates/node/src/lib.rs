//! The executor: watches the store, asks control, acts with sandbox and gateway
