//! A program in the place of a server.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

/// A program that runs in place of a server of a network on this machine, with the server's files, and says line by line
/// what it does. It is killed when this is dropped; what it logs is among the network's logs.
#[derive(Debug)]
pub struct StandIn(Child);

impl StandIn {
    /// Starts a program with settings as those of `hippodrome mixnode`, as `--config FILE`, and more arguments. The
    /// coordinator must have said where it is, and the server itself must not run.
    pub fn start(program: &Path, net: &Path, server: &str, arguments: &[&str]) -> io::Result<Self> {
        let coordinator = fs::read_to_string(net.join("coordinator.address"))?;
        let config = net.join(format!("{server}.stand-in.toml"));
        fs::write(&config, settings(server, coordinator.trim()))?;
        let log = File::create(net.join(format!("logs/{server}.stand-in.log")))?;
        let mut command = Command::new(program);
        command.arg("--config").arg(&config).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().map(Self)
    }

    /// What it says, line by line until it ends; nothing when asked again.
    pub fn lines(&mut self) -> impl Iterator<Item = String> + Send + use<> {
        let output = self.0.stdout.take();
        output.into_iter().flat_map(|output| BufReader::new(output).lines().map_while(Result::ok))
    }

    /// Says the line for which it waits.
    pub fn begin(&mut self) -> io::Result<()> {
        self.0.stdin.as_mut().map_or(Ok(()), |stdin| writeln!(stdin))
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Paths start from the directory of the file, which is the network's.
fn settings(server: &str, coordinator: &str) -> String {
    format!(
        "network = \"network.toml\"\nkey = \"keys/{server}.key\"\nstate_dir = \"state/{server}\"\n\
         listen = \"127.0.0.1:0\"\ncoordinator = {coordinator:?}\n"
    )
}
