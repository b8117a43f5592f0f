//! Where set-up keeps what it knows and what it has fetched.

/// All of it; only root may read it.
pub const HOME: &str = "/var/lib/vhive/setup";
/// What has been done here, and how it is undone.
pub const STATE: &str = "/var/lib/vhive/setup/state.json";
/// Checksums of what was downloaded, by address.
pub const LOCK: &str = "/var/lib/vhive/setup/lock.json";
/// Files as they were before.
pub const SAVED: &str = "/var/lib/vhive/setup/saved";
/// Manifests with our changes to them.
pub const MANIFESTS: &str = "/var/lib/vhive/setup/manifests";
/// A bundle, unpacked.
pub const BUNDLE: &str = "/var/lib/vhive/setup/bundle";

/// The kubeconfig that kubeadm writes for the administrator.
pub const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";
/// The socket of the stock containerd.
pub const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
/// The socket of `vhive cri`.
pub const VHIVE_CRI_SOCKET: &str = "/etc/vhive-cri/vhive-cri.sock";
