//! Who holds a port, as far as the system lets one see: `/proc` names the socket, and the process that has it open.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The process that listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub process: u32,
    /// The name of its program. Not its arguments: they may hold secrets.
    pub command: String,
}

const LISTENING: &str = "0A";

/// Finds the process that listens on an address, or on all addresses at its port. `None` where there is no `/proc`
/// or the process belongs to somebody else.
pub(super) fn of(address: SocketAddr) -> Option<Holder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let sockets: Vec<String> = tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().filter_map(|line| listening_socket(line, address)).collect::<Vec<_>>())
        .collect();
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let process: u32 = entry.file_name().to_str()?.parse().ok()?;
        let opened = fs::read_dir(entry.path().join("fd")).ok()?;
        let holds = opened.flatten().filter_map(|file| fs::read_link(file.path()).ok()).any(|target| {
            let target = target.to_string_lossy();
            sockets.iter().any(|socket| target == format!("socket:[{socket}]"))
        });
        let command = || Some(fs::read_to_string(entry.path().join("comm")).ok()?.trim().to_owned());
        holds.then(|| Some(Holder { process, command: command()? }))?
    })
}

/// The inode of the socket a line of the table is about, if it listens where `address` would.
fn listening_socket(line: &str, address: SocketAddr) -> Option<String> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, local, _, state, _, _, _, _, _, inode, ..] = fields.as_slice() else { return None };
    let (ip, port) = local.split_once(':')?;
    let same_port = u16::from_str_radix(port, 16).is_ok_and(|port| port == address.port());
    let ip = ip_address(ip)?;
    let same_address = ip.is_unspecified() || ip.to_canonical() == address.ip().to_canonical();
    (*state == LISTENING && same_port && (same_address || address.ip().is_unspecified())).then(|| (*inode).to_owned())
}

/// Reads an address as the kernel prints it: words of 32 bits in the machine's own byte order.
fn ip_address(text: &str) -> Option<IpAddr> {
    let words: Option<Vec<[u8; 4]>> = (0..text.len() / 8)
        .map(|word| u32::from_str_radix(text.get(word * 8..word * 8 + 8)?, 16).ok().map(u32::to_ne_bytes))
        .collect();
    match words?.as_flattened() {
        bytes if bytes.len() == 4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        bytes => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
    }
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;

    #[test]
    fn a_listening_socket_is_found_by_address_and_by_wildcard_and_others_are_not() {
        let line = |local: &str, state: &str| {
            format!(
                "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1000 0 4711 1 0 100 0 0 10 0"
            )
        };
        let asked: SocketAddr = ([127, 0, 0, 1], 8033).into();
        let found = Some("4711".to_owned());
        assert_eq!(listening_socket(&line("0100007F:1F61", "0A"), asked), found);
        assert_eq!(listening_socket(&line("00000000:1F61", "0A"), asked), found);
        assert_eq!(listening_socket(&line("00000000000000000000000000000000:1F61", "0A"), asked), found);
        assert_eq!(listening_socket(&line("0100007F:1F61", "01"), asked), None);
        assert_eq!(listening_socket(&line("0100007F:1F62", "0A"), asked), None);
        assert_eq!(listening_socket(&line("0200007F:1F61", "0A"), asked), None);
        let six: SocketAddr = (Ipv6Addr::LOCALHOST, 8033).into();
        assert_eq!(listening_socket(&line("00000000000000000000000001000000:1F61", "0A"), six), found);
        assert_eq!(listening_socket("  sl  local_address rem_address   st", asked), None);
    }
}
