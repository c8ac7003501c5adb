//! Settings under `/proc/sys/net` of the calling thread's namespace. Call them inside `in_netns`.

use std::fs;

use super::{Error, Result};

/// Writes `value` to `/proc/sys/net/<key>`, the key with slashes (interface names may hold dots).
///
/// # Errors
/// When the key does not exist or may not be written.
pub fn write(key: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/net/{key}");
    fs::write(&path, value).map_err(|e| Error::new(format!("{path} can't be set to {value}"), e))
}

/// Reads `/proc/sys/net/<key>`.
///
/// # Errors
/// When the key does not exist or may not be read.
pub fn read(key: &str) -> Result<String> {
    let path = format!("/proc/sys/net/{key}");
    let value = fs::read_to_string(&path).map_err(|e| Error::new(format!("{path} can't be read"), e))?;
    Ok(value.trim().to_owned())
}

/// Stops IPv6 on an interface (or on `all` and `default`), so that it sends nothing by itself.
/// A kernel without IPv6 has nothing to stop.
///
/// # Errors
/// When it may not be written.
pub fn disable_ipv6(interface: &str) -> Result<()> {
    match write(&format!("ipv6/conf/{interface}/disable_ipv6"), "1") {
        Err(e) if e.kind() == Some(std::io::ErrorKind::NotFound) && !has_ipv6() => Ok(()),
        other => other,
    }
}

/// Lets interfaces that are made from now on announce their addresses by gratuitous ARP when they come up or when their
/// MAC address changes, so that a switch knows where they are before anybody sends to them.
///
/// # Errors
/// When it may not be written.
pub fn announce_addresses() -> Result<()> {
    write("ipv4/conf/default/arp_notify", "1")
}

fn has_ipv6() -> bool {
    fs::exists("/proc/sys/net/ipv6").unwrap_or(false)
}
