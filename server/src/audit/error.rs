//! Why the files of the audit log could not be read or written.

use std::io;

/// Why an operation on the audit files failed. The files stay usable: it may be tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The operating system refused something.
    #[error("{place}: {doing}: {error}")]
    Io {
        /// The directory.
        place: String,
        /// What was being done.
        doing: &'static str,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// A file is of another cluster. Only at a start.
    #[error("{place}/{name}: it is of another cluster; move the audit files away if they were copied here")]
    OtherCluster {
        /// The directory.
        place: String,
        /// The file.
        name: String,
    },
    /// A file is of a later build. Only at a start.
    #[error("{place}/{name}: version {version} of the format is of a later build; use that build")]
    Later {
        /// The directory.
        place: String,
        /// The file.
        name: String,
        /// Its version.
        version: u32,
    },
}
