//! Errors, in words for the host.

use std::error::Error;
use std::io;

use nix::errno::Errno;

/// An error with its causes, in one line. What the kernel says is given in its words alone.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = words(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&words(error));
        cause = error.source();
    }
    line
}

fn words(error: &(dyn Error + 'static)) -> String {
    let errno = error.downcast_ref::<Errno>().copied();
    let raw = || {
        error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
    };
    match errno.or_else(|| raw().map(Errno::from_raw)) {
        Some(errno) => errno.desc().to_owned(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read {0:?}")]
    struct Read(&'static str, #[source] io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("no name")]
    struct Name(#[source] Errno);

    #[test]
    fn causes_follow_in_the_kernels_words() {
        let missing = io::Error::from_raw_os_error(Errno::ENOENT as i32);
        assert_eq!(
            chain(&Read("/a", missing)),
            r#"cannot read "/a": No such file or directory"#
        );
        assert_eq!(
            chain(&Name(Errno::EPERM)),
            "no name: Operation not permitted"
        );
        let nul = io::Error::new(io::ErrorKind::InvalidInput, "nul byte found");
        assert_eq!(
            chain(&Read("/a", nul)),
            r#"cannot read "/a": nul byte found"#
        );
    }
}
