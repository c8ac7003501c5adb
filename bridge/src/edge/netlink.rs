//! Route netlink with prepared messages: what a gate change costs is one `send`.
//!
//! The kernel works on a message while it is being sent and has answered when `send` returns; an error it reports
//! unasked. So nothing has to be waited for.
//!
//! What must not enter: what a message is for.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

const HEADER: usize = 16;
/// Answers are short, but for lists, which the kernel cuts to what fits.
const ANSWER: usize = 32 * 1024;

/// A message that is being written.
#[derive(Clone, Debug)]
pub(super) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A request of type `kind` (`RTM_*`) with flags (`NLM_F_*`) and its fixed part.
    pub(super) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Message {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        bytes.extend(fixed);
        let mut message = Message { bytes };
        message.finish();
        message
    }

    /// Adds an attribute.
    pub(super) fn attribute(mut self, kind: u16, value: &[u8]) -> Message {
        self.bytes.extend((4 + value.len() as u16).to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.finish();
        self
    }

    /// Adds an attribute made of attributes.
    pub(super) fn nested(mut self, kind: u16, fill: impl FnOnce(Message) -> Message) -> Message {
        let at = self.bytes.len();
        self = fill(self.attribute(kind, &[]));
        let len = (self.bytes.len() - at) as u16;
        self.bytes[at..at + 2].copy_from_slice(&len.to_ne_bytes());
        self
    }

    /// Pads to the next attribute and writes down the length.
    fn finish(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        let len = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&len.to_ne_bytes());
    }
}

/// A message of the kernel's.
pub(super) struct Answer<'a> {
    kind: u16,
    body: &'a [u8],
}

impl<'a> Answer<'a> {
    /// The fixed part, if it has `len` bytes, and the attributes behind it.
    pub(super) fn parts(&self, len: usize) -> Option<(&'a [u8], Attributes<'a>)> {
        let (fixed, rest) = self.body.split_at_checked(len)?;
        Some((fixed, Attributes { rest }))
    }
}

/// Attributes: (kind, value).
pub(super) struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let &[l0, l1, k0, k1] = self.rest.first_chunk::<4>()?;
        let len = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = self.rest.get(4..len)?;
        self.rest = self.rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]) & 0x3fff, value))
    }
}

/// A connection to the kernel in one namespace; it may be used from any thread.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
}

impl Socket {
    /// Opens one in the calling thread's namespace.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn open() -> io::Result<Socket> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        Ok(Socket { fd })
    }

    /// Has the kernel do something. The message was made without asking for an answer.
    ///
    /// # Errors
    /// Why it was not done.
    pub(super) fn tell(&self, message: &Message) -> io::Result<()> {
        send(self.fd.as_raw_fd(), &message.bytes, MsgFlags::empty())?;
        let mut answer = [0; 512];
        match recv(self.fd.as_raw_fd(), &mut answer, MsgFlags::empty()) {
            Ok(len) => messages(&answer[..len]).try_for_each(|m| failure(&m)),
            Err(Errno::EAGAIN) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Asks the kernel; `hear` gets each message of its answer, which may be a list.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn ask(&self, message: &Message, mut hear: impl FnMut(&Answer<'_>)) -> io::Result<()> {
        send(self.fd.as_raw_fd(), &message.bytes, MsgFlags::empty())?;
        let mut buffer = vec![0; ANSWER];
        loop {
            // What the kernel has to say is there when `send` returns, but for the rest of a list, which it gives
            // while the first part is fetched.
            let len = match recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(Errno::EAGAIN) => return Ok(()),
                len => len?,
            };
            for answer in messages(&buffer[..len]) {
                failure(&answer)?;
                if answer.kind == libc::NLMSG_DONE as u16 {
                    return Ok(());
                }
                hear(&answer);
            }
        }
    }
}

fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Answer<'_>> {
    std::iter::from_fn(move || {
        let &[l0, l1, l2, l3, k0, k1] = bytes.first_chunk::<6>()?;
        let len = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
        let body = bytes.get(HEADER..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(Answer { kind: u16::from_ne_bytes([k0, k1]), body })
    })
}

fn failure(answer: &Answer<'_>) -> io::Result<()> {
    if answer.kind != libc::NLMSG_ERROR as u16 {
        return Ok(());
    }
    match answer.body.first_chunk().map(|&code| i32::from_ne_bytes(code)) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_out_as_they_went_in() {
        let message = Message::new(1, 0, &[9; 8])
            .attribute(1, b"abc")
            .nested(2, |m| m.attribute(3, &[1; 4]).attribute(4, &[]))
            .attribute(5, &[7; 8]);
        let answer = messages(&message.bytes).next().unwrap();
        let (fixed, attributes) = answer.parts(8).unwrap();
        assert_eq!(fixed, [9; 8]);
        let found: Vec<_> = attributes.collect();
        assert_eq!((found[0], found[2]), ((1, &b"abc"[..]), (5, &[7; 8][..])));
        let nested: Vec<_> = Attributes { rest: found[1].1 }.collect();
        assert_eq!(nested, [(3, &[1; 4][..]), (4, &[][..])]);
    }

    #[test]
    fn what_is_cut_off_is_no_message_and_no_attribute() {
        let message = Message::new(1, 0, &[]).attribute(1, &[1, 2, 3, 4]);
        for len in 0..message.bytes.len() {
            assert!(messages(&message.bytes[..len]).next().is_none(), "{len} bytes");
        }
        assert_eq!(Attributes { rest: &[9, 0, 1, 0, 5] }.next(), None);
        assert_eq!(Attributes { rest: &[3, 0, 1, 0] }.next(), None);
    }
}
