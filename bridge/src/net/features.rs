//! Offloads of an interface (`ethtool -k`), by the kernel's names for them.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::{Error, Result};

// linux/ethtool.h
const GET_STRINGS: u32 = 0x1b;
const GET_COUNTS: u32 = 0x37;
const GET_FEATURES: u32 = 0x3a;
const SET_FEATURES: u32 = 0x3b;
const FEATURE_NAMES: u32 = 4;
const NAME_LEN: usize = 32;
const SIOCETHTOOL: libc::c_ulong = 0x8946;
/// 32-bit words of a block of `ethtool_gfeatures`: available, requested, active, never changed.
const BLOCK: usize = 4;

/// An offload and whether it is on.
pub type Feature = (&'static str, bool);

/// The offloads of an interface of the namespace in which this was opened.
#[derive(Debug)]
pub struct Features {
    socket: OwnedFd,
    interface: String,
    /// All names that the kernel knows, in its order.
    names: Vec<String>,
}

impl Features {
    /// Asks the kernel for the offloads it knows.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open(interface: &str) -> Result<Features> {
        let failed =
            |e: io::Error| Error::new(format!("interface {interface} can't be asked for its offloads"), e);
        let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
            .map_err(|e| failed(e.into()))?;
        let mut features = Features { socket, interface: interface.to_owned(), names: Vec::new() };
        features.names = features.ask_names().map_err(failed)?;
        Ok(features)
    }

    fn ask_names(&self) -> io::Result<Vec<String>> {
        // struct ethtool_sset_info: command, reserved, 64-bit mask, one count.
        let mut counts = [GET_COUNTS, 0, 0, 0, 0];
        let mask = 1u64 << FEATURE_NAMES;
        counts[2..4].copy_from_slice(&words(mask));
        self.ethtool(&mut counts)?;
        let count = counts[4] as usize;
        // struct ethtool_gstrings: command, set, count, names.
        let mut strings = vec![0; 3 + count * NAME_LEN / 4];
        strings[..3].copy_from_slice(&[GET_STRINGS, FEATURE_NAMES, count as u32]);
        self.ethtool(&mut strings)?;
        let bytes: Vec<u8> = strings[3..].iter().flat_map(|w| w.to_ne_bytes()).collect();
        Ok(bytes
            .chunks(NAME_LEN)
            .map(|name| {
                let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
                String::from_utf8_lossy(&name[..end]).into_owned()
            })
            .collect())
    }

    /// Switches offloads; those that the kernel does not know are left out. Answers what has to be set to undo it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set(&self, wanted: &[Feature]) -> Result<Vec<Feature>> {
        self.try_set(wanted).map_err(|e| {
            let names: Vec<_> = wanted.iter().map(|(name, _)| *name).collect();
            Error::new(
                format!("the offloads {} of interface {} can't be changed", names.join(", "), self.interface),
                e,
            )
        })
    }

    fn try_set(&self, wanted: &[Feature]) -> io::Result<Vec<Feature>> {
        let blocks = self.names.len().div_ceil(32);
        let mut now = vec![0; 2 + blocks * BLOCK];
        now[..2].copy_from_slice(&[GET_FEATURES, blocks as u32]);
        self.ethtool(&mut now)?;
        // struct ethtool_sfeatures: command, blocks, and for each which bits count, and what they become.
        let mut change = vec![0; 2 + blocks * 2];
        change[..2].copy_from_slice(&[SET_FEATURES, blocks as u32]);
        let mut undo = Vec::new();
        for &(name, on) in wanted {
            let Some(at) = self.names.iter().position(|known| known == name) else { continue };
            let (block, bit) = (at / 32, 1u32 << (at % 32));
            let requested = now[2 + block * BLOCK + 1] & bit != 0;
            let available = now[2 + block * BLOCK] & bit != 0;
            if requested == on || !available {
                continue;
            }
            change[2 + block * 2] |= bit;
            if on {
                change[2 + block * 2 + 1] |= bit;
            }
            undo.push((name, requested));
        }
        if !undo.is_empty() {
            self.ethtool(&mut change)?;
        }
        Ok(undo)
    }

    fn ethtool(&self, data: &mut [u32]) -> io::Result<()> {
        // SAFETY: an ifreq of zeroes is a valid one (an empty name, no address).
        let mut request: libc::ifreq = unsafe { mem::zeroed() };
        if self.interface.len() >= request.ifr_name.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for (to, from) in request.ifr_name.iter_mut().zip(self.interface.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_data = data.as_mut_ptr().cast();
        // SAFETY: the request points to a command of ethtool with all the room that it says it has (each caller sizes
        // it by the counts in it); both outlive the call.
        let answer = unsafe { libc::ioctl(self.socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
        Errno::result(answer)?;
        Ok(())
    }
}

/// A 64-bit number as it lies in memory.
fn words(number: u64) -> [u32; 2] {
    let b = number.to_ne_bytes();
    [u32::from_ne_bytes([b[0], b[1], b[2], b[3]]), u32::from_ne_bytes([b[4], b[5], b[6], b[7]])]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_has_offloads_and_setting_them_as_they_are_changes_nothing() {
        let features = Features::open("lo").unwrap();
        assert!(features.names.iter().any(|name| name == "tx-checksum-ip-generic"), "{:?}", features.names);
        assert_eq!(features.set(&[("no-such-offload", true)]).unwrap(), []);
        assert!(Features::open("no-such-device").is_err());
    }
}
