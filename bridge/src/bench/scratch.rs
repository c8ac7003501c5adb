//! A directory for what peers need on disk, named after this process: whoever comes later sees what nobody owns any more
//! and removes it. Namespaces and processes need none of this, the kernel ends them with us.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::failed;
use crate::cli::Failure;

/// Only root writes here, so that nobody else can prepare what we would then trust.
const PARENT: &str = "/run";
const PREFIX: &str = "dcbridge-bench-";

/// The directory; it ends with its handle.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Removes what runs that were killed have left, then makes a directory.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn new() -> Result<Scratch, Failure> {
        sweep(Path::new(PARENT), |pid| Path::new(&format!("/proc/{pid}")).exists());
        let path = Path::new(PARENT).join(format!("{PREFIX}{}", std::process::id()));
        // One of this number can only be left over.
        let _ = fs::remove_dir_all(&path);
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|e| failed(format!("{} can't be made", path.display()), &e))?;
        Ok(Scratch { path })
    }

    /// A new directory in it.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn directory(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.path.join(name);
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                Err(failed(format!("{} can't be made", path.display()), &e))
            }
            _ => Ok(path),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What can't be removed now, the next run removes.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the directories of processes that are gone.
fn sweep(parent: &Path, alive: impl Fn(u32) -> bool) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|n| n.strip_prefix(PREFIX)).and_then(|pid| pid.parse().ok());
        if owner.is_some_and(|pid| !alive(pid)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_belongs_to_nobody_is_swept() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["dcbridge-bench-7", "dcbridge-bench-8", "dcbridge-bench-x", "dcbridge", "7"] {
            fs::create_dir_all(parent.path().join(name).join("inside")).unwrap();
        }
        sweep(parent.path(), |pid| pid == 8);
        let mut left: Vec<_> = fs::read_dir(parent.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["7", "dcbridge", "dcbridge-bench-8", "dcbridge-bench-x"]);
    }
}
