//! PID 1 of the guest, and the protocol it speaks with the host
