//! Which process holds the other end of a connection, as the system says in `/proc`.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
};

/// The node whose pid file in `run` names the process that holds a socket of this machine with this address; none if no
/// node's process does.
pub(super) fn owner_of(socket: SocketAddr, run: &Path) -> Option<String> {
    let inode = inode_of(socket, &fs::read_to_string("/proc/net/tcp").ok()?)?;
    let files = fs::read_dir(run).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut pid_files = files.filter(|path| path.extension().is_some_and(|extension| extension == "pid"));
    pid_files.find_map(|path| {
        let pid = fs::read_to_string(&path).ok()?;
        holds(pid.trim(), inode).then(|| path.file_stem()?.to_str().map(str::to_owned))?
    })
}

/// The inode of the socket with a local address, in the table of the system.
fn inode_of(socket: SocketAddr, table: &str) -> Option<u64> {
    let IpAddr::V4(address) = socket.ip() else { return None };
    // Addresses are numbers of this machine's byte order.
    let wanted = format!("{:08X}:{:04X}", u32::from_ne_bytes(address.octets()), socket.port());
    let line = table.lines().skip(1).map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let mut inodes =
        line.filter(|fields| fields.get(1) == Some(&wanted.as_str())).filter_map(|fields| fields.get(9)?.parse().ok());
    inodes.find(|inode| *inode != 0)
}

/// Whether a process has a socket open.
fn holds(pid: &str, inode: u64) -> bool {
    let name = format!("socket:[{inode}]");
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().filter_map(Result::ok);
    open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|target| target.as_os_str() == name.as_str())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_of_this_process_is_found_and_one_of_nobody_is_not() {
        let run = tempfile::tempdir().expect("a directory");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let stream = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
        let own = stream.local_addr().expect("an address");
        assert_eq!(owner_of(own, run.path()), None, "no node is known");
        fs::write(run.path().join("server-3.pid"), format!("{}\n", std::process::id())).expect("written");
        fs::write(run.path().join("server-4.pid"), "1\n").expect("written");
        assert_eq!(owner_of(own, run.path()).as_deref(), Some("server-3"));
        drop(stream);
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        assert_eq!(owner_of(nobody, run.path()), None);
    }

    #[test]
    fn tables_are_read_line_by_line() {
        let local = if cfg!(target_endian = "little") { "0100007F:1F90" } else { "7F000001:1F90" };
        let table = format!("  sl\n 0: {local} 0100007F:0050 01 0:0 00:0 0 0 0 77 1\n 1: short\n");
        assert_eq!(inode_of(SocketAddr::from(([127, 0, 0, 1], 8080)), &table), Some(77));
        assert_eq!(inode_of(SocketAddr::from(([127, 0, 0, 1], 8081)), &table), None);
    }
}
