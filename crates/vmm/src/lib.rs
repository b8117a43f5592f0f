//! Hypervisor drivers, guest kernels and the host side of the agent
