//! One switch as the control side serves it: fresh snapshots, measured shares, the metrics text.
//!
//! Requests that wait at the same time share one snapshot, so however many clients ask, the worker is never asked more
//! than once at a time; a snapshot is never older than the request that gets it.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, MissedTickBehavior};

use super::metrics::Exporter;
use super::sampler::Shares;
use super::source::StateSource;
use super::view::{self, ClassRow, Fdb, Version};
use crate::runtime::Error;
use crate::state::Snapshot;

/// Length of the windows over which shares are measured.
pub const WINDOW: Duration = Duration::from_secs(1);

/// A switch and what the control side keeps of it.
pub struct Service<S> {
    source: S,
    /// The last snapshot and when it was asked for.
    last: Mutex<Option<(Instant, Arc<Snapshot>)>>,
    shares: RwLock<Arc<Shares>>,
    exporter: Mutex<Exporter>,
}

impl<S: StateSource> Service<S> {
    /// Wraps a source of state.
    pub fn new(source: S) -> Arc<Service<S>> {
        let exporter = Mutex::new(Exporter::new(&source.config().bridge.name));
        Arc::new(Service { source, last: Mutex::default(), shares: RwLock::default(), exporter })
    }

    /// Where the state comes from.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// A snapshot taken after this call began.
    ///
    /// # Errors
    /// When the switch has ended.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>, Error> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((taken, snapshot)) = last.as_ref()
            && *taken > asked
        {
            return Ok(Arc::clone(snapshot));
        }
        let taken = Instant::now();
        let snapshot = Arc::new(self.source.snapshot().await?);
        *last = Some((taken, Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    /// Measures shares over one window after another, until the switch ends; answers why it did.
    pub async fn measure_shares(&self) -> Error {
        let mut ticks = tokio::time::interval(WINDOW);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut earlier: Option<Arc<Snapshot>> = None;
        loop {
            ticks.tick().await;
            let later = match self.snapshot().await {
                Ok(snapshot) => snapshot,
                Err(error) => return error,
            };
            if let Some(earlier) = &earlier {
                let shares = Arc::new(Shares::between(earlier, &later));
                *self.shares.write().unwrap_or_else(PoisonError::into_inner) = shares;
            }
            earlier = Some(later);
        }
    }

    /// Shares of the last complete window.
    pub fn shares(&self) -> Arc<Shares> {
        Arc::clone(&self.shares.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The classes of every port.
    ///
    /// # Errors
    /// When the switch has ended.
    pub async fn classes(&self) -> Result<Vec<ClassRow>, Error> {
        Ok(view::classes(&*self.snapshot().await?, &self.shares()))
    }

    /// The forwarding database.
    ///
    /// # Errors
    /// When the switch has ended.
    pub async fn fdb(&self) -> Result<Fdb, Error> {
        let summary = self.snapshot().await?.fdb.clone();
        Ok(Fdb { summary, entries: self.source.fdb().await? })
    }

    /// What Prometheus scrapes.
    ///
    /// # Errors
    /// When the switch has ended.
    pub async fn metrics(&self) -> Result<String, Error> {
        let snapshot = self.snapshot().await?;
        Ok(self.exporter.lock().await.render(&snapshot, &self.shares()))
    }

    /// Who answers.
    pub fn version(&self) -> Version {
        Version {
            program: "dcbridge".to_owned(),
            version: crate::VERSION.to_owned(),
            name: self.source.config().bridge.name.clone(),
            pid: std::process::id(),
        }
    }
}
