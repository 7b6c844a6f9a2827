//! Chooses free ports, mostly on loopback.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

/// Below the range from which the kernel takes the ports of outgoing connections: one of those
/// would else take a port between its choice and its use.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// `N` ports of loopback that nobody listens on, all different.
///
/// # Errors
/// If there are not so many.
pub fn free<const N: usize>() -> Result<[u16; N]> {
    free_at(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// As [`free`], of an address of this machine.
///
/// # Errors
/// If there are not so many.
pub fn free_at<const N: usize>(address: IpAddr) -> Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut port = start();
    for _ in RANGE {
        if held.len() == N {
            break;
        }
        port = if port + 1 < RANGE.end {
            port + 1
        } else {
            RANGE.start
        };
        if let Ok(listener) = TcpListener::bind((address, port)) {
            held.push((port, listener));
        }
    }
    if held.len() < N {
        bail!(
            "no {N} free ports between {} and {}",
            RANGE.start,
            RANGE.end
        );
    }
    let mut ports = [0; N];
    for (port, (found, _listener)) in ports.iter_mut().zip(held) {
        *port = found;
    }
    Ok(ports)
}

/// Somewhere else in each call and process, so that concurrent runs seldom meet.
fn start() -> u16 {
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .subsec_nanos();
    let spread = nanos.wrapping_add(std::process::id().wrapping_mul(7919))
        % u32::from(RANGE.end - RANGE.start);
    RANGE.start + u16::try_from(spread).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_different() {
        let ports: [u16; 8] = free().unwrap();
        for (i, port) in ports.iter().enumerate() {
            assert!(!ports[..i].contains(port));
            TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).unwrap();
        }
    }
}
