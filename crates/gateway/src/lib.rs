//! The data plane: ingress, routing, queueing, balancing
