//! What was changed on an interface that is not ours, on disk: so that the next start can undo what a killed switch left.
//!
//! One file for each interface, locked for as long as its writer lives. An interface that we made needs none: it goes
//! with us.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::clamp::{self, Root};
use super::host::set_link;
use super::netlink::Socket;
use crate::net::{self, Links, Netns, NetnsRef, in_netns};

const BEGIN: &str = "edge-";
const END: &str = ".json";

/// Where journals are unless said otherwise.
pub fn default_directory() -> PathBuf {
    PathBuf::from("/run/dcbridge")
}

/// A setting as it was, and as we have made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Changed {
    pub(super) was: u32,
    pub(super) is: u32,
}

impl Changed {
    /// What it is to be again; `None`: it never changed, or somebody has changed it since.
    fn undo(self, now: Option<u32>) -> Option<u32> {
        (self.was != self.is && now == Some(self.is)).then_some(self.was)
    }
}

/// What was changed on an interface. The clamp is always part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Device and inode of the namespace.
    pub(super) netns: (u64, u64),
    /// Where the namespace was found; `None`: it was the switch's own.
    pub(super) netns_path: Option<PathBuf>,
    pub(super) interface: String,
    pub(super) index: u32,
    pub(super) txqueuelen: Changed,
    pub(super) gso_max_size: Option<Changed>,
}

impl Entry {
    /// Undoes it, in the calling thread's namespace.
    fn undo_here(&self) -> net::Result<()> {
        let failed = |e: io::Error| net::Error::new(format!("{} can't be restored", self.interface), e);
        if Netns::id_of_this_thread() != Some(self.netns) {
            return Ok(());
        }
        let links = Links::open()?;
        let Ok(now) = links.info(&self.interface) else { return Ok(()) };
        if now.index != self.index {
            return Ok(());
        }
        let netlink = Socket::open().map_err(failed)?;
        if clamp::root(&netlink, self.index).map_err(failed)? == Root::Clamp {
            clamp::remove(&netlink, self.index).map_err(failed)?;
        }
        let txqueuelen = self.txqueuelen.undo(Some(now.txqueuelen));
        let gso_max_size = self.gso_max_size.and_then(|changed| changed.undo(now.gso_max_size));
        set_link(&netlink, self.index, txqueuelen, gso_max_size).map_err(failed)
    }

    fn undo(&self) -> net::Result<()> {
        let netns = match &self.netns_path {
            None => NetnsRef::Current,
            // A namespace that is gone took everything with it.
            Some(path) if !path.exists() => return Ok(()),
            Some(path) => NetnsRef::Path(path.clone()),
        };
        in_netns(&netns, || self.undo_here())
    }
}

/// An entry on disk, ours while this lives.
#[derive(Debug)]
pub struct Journal {
    file: Flock<File>,
    path: PathBuf,
    entry: Entry,
}

impl Journal {
    /// Writes down what is going to be changed. What an earlier writer has left for the same interface is undone
    /// first; to be called in the interface's namespace.
    pub(super) fn begin(directory: &Path, entry: Entry) -> io::Result<Journal> {
        fs::create_dir_all(directory)?;
        let path = path_of(directory, entry.netns, &entry.interface);
        // The file gets its name when it is locked and whole: nobody can take it for one that was left.
        let early = path.with_extension(format!("{}.new", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&early)?;
        let mut file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, e)| e)?;
        file.write_all(&serde_json::to_vec(&entry)?)?;
        fs::rename(&early, &path)?;
        Ok(Journal { file, path, entry })
    }

    /// Undoes what was changed and forgets it.
    ///
    /// # Errors
    /// What could not be undone; the entry then stays for the next start.
    pub(super) fn undo(self, netns: &NetnsRef) -> net::Result<()> {
        in_netns(netns, || self.entry.undo_here())?;
        let removed = fs::remove_file(&self.path);
        drop(self.file);
        removed.map_err(|e| net::Error::new(format!("{} can't be removed", self.path.display()), e))
    }
}

fn path_of(directory: &Path, netns: (u64, u64), interface: &str) -> PathBuf {
    directory.join(format!("{BEGIN}{}-{interface}{END}", netns.1))
}

/// Undoes what a switch that was killed has left on the interface `name` of the calling thread's namespace.
pub(super) fn restore_here(directory: &Path, interface: &str) -> net::Result<()> {
    let Some(netns) = Netns::id_of_this_thread() else { return Ok(()) };
    restore(&path_of(directory, netns, interface), Entry::undo_here)
}

/// Undoes what switches that were killed have left; answers what could not be undone.
pub fn restore_all(directory: &Path) -> Vec<String> {
    let Ok(files) = fs::read_dir(directory) else { return Vec::new() };
    files
        .flatten()
        .map(|file| file.path())
        .filter(|path| {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            name.starts_with(BEGIN) && name.ends_with(END)
        })
        .filter_map(|path| restore(&path, Entry::undo).err())
        .map(|error| error.to_string())
        .collect()
}

fn restore(path: &Path, undo: impl FnOnce(&Entry) -> net::Result<()>) -> net::Result<()> {
    let Ok(file) = File::open(path) else { return Ok(()) };
    let Ok(mut file) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
        // Its writer lives.
        return Ok(());
    };
    let mut text = Vec::new();
    let read = file.read_to_end(&mut text).map_err(|e| net::Error::new(path.display().to_string(), e));
    read?;
    if let Ok(entry) = serde_json::from_slice::<Entry>(&text) {
        undo(&entry)?;
    }
    fs::remove_file(path).map_err(|e| net::Error::new(format!("{} can't be removed", path.display()), e))
}
