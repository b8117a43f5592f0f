//! A certificate and its key in one file, replaced by renaming, so that the two always belong together.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{Error, PemObject},
};

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its private key (PKCS #8).
    pub key: String,
}

impl Identity {
    pub(super) fn parse_certificate(&self) -> Result<CertificateDer<'static>, Error> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes())
    }

    pub(super) fn parse_key(&self) -> Result<PrivateKeyDer<'static>, Error> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes())
    }

    /// Takes a file apart; `None` if it is not a certificate and a key.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (certificate, _) = text.split_once("-----BEGIN PRIVATE KEY-----")?;
        let identity = Self {
            certificate: certificate.to_owned(),
            key: text[certificate.len()..].to_owned(),
        };
        (identity.parse_certificate().is_ok() && identity.parse_key().is_ok()).then_some(identity)
    }

    /// Replaces a file as a whole; it is on disk when this returns.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let new = path.with_extension("new");
        // What a start that was cut short left.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(self.certificate.as_bytes())?;
        file.write_all(self.key.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        path.parent()
            .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

/// The text of a file, if it is there; others than its owner lose what they may do with it.
pub(super) fn read(path: &Path) -> io::Result<Option<String>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}
