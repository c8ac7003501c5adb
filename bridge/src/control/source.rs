//! Where the control side gets its state from: the one door between it and a switch.

use std::future::Future;
use std::sync::Arc;

use dcbridge_config::Config;

use crate::runtime::{Error, Handle};
use crate::state::{FdbEntry, Snapshot};

/// A running switch, as the control side sees it. Implemented by the runtime's handle, and by hand-made state in tests.
pub trait StateSource: Send + Sync + 'static {
    /// The configuration it runs.
    fn config(&self) -> Arc<Config>;

    /// All counters of one moment. An error says that the switch has ended.
    fn snapshot(&self) -> impl Future<Output = Result<Snapshot, Error>> + Send;

    /// The forwarding database. An error says that the switch has ended.
    fn fdb(&self) -> impl Future<Output = Result<Vec<FdbEntry>, Error>> + Send;
}

impl StateSource for Handle {
    fn config(&self) -> Arc<Config> {
        Arc::clone(Handle::config(self))
    }

    fn snapshot(&self) -> impl Future<Output = Result<Snapshot, Error>> + Send {
        Handle::snapshot(self)
    }

    fn fdb(&self) -> impl Future<Output = Result<Vec<FdbEntry>, Error>> + Send {
        Handle::fdb(self)
    }
}
