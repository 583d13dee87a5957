//! The directory of a network on this machine: where everything in it is.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use hippodrome_core::ids::ServerId;
use hippodrome_store::{
    config::{self, ConfigError},
    network_file::{Network, NetworkFileError},
};

/// A directory with a network in it.
#[derive(Clone, Debug)]
pub(crate) struct NetworkDir(PathBuf);

/// A node of the network, by the name of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Node {
    Coordinator,
    Server(ServerId),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator => f.write_str("coordinator"),
            Self::Server(id) => write!(f, "server-{}", id.0),
        }
    }
}

/// Addresses of nodes, by their names.
#[derive(Debug, Default)]
pub(crate) struct Addresses(BTreeMap<String, String>);

impl Addresses {
    /// Reads a file of them: node, `=`, address in quotes.
    pub(crate) fn read(file: &Path) -> Result<Self, NetworkDirError> {
        let addresses: BTreeMap<String, String> = config::load(file)?;
        let wrong = |(node, address): (&String, &String)| {
            node.parse::<Node>().is_err() || parse_address(address).as_ref() != Some(address)
        };
        match addresses.iter().any(wrong) {
            true => Err(NetworkDirError::Addresses(file.to_owned())),
            false => Ok(Self(addresses)),
        }
    }

    /// Those of a file; none where there is no such file.
    fn load(file: &Path) -> Result<Self, NetworkDirError> {
        if file.exists() { Self::read(file) } else { Ok(Self::default()) }
    }

    /// That of a node.
    pub(crate) fn of(&self, node: Node) -> Option<&str> {
        self.0.get(&node.to_string()).map(String::as_str)
    }
}

impl FromIterator<(Node, String)> for Addresses {
    fn from_iter<T: IntoIterator<Item = (Node, String)>>(addresses: T) -> Self {
        Self(addresses.into_iter().map(|(node, address)| (node.to_string(), address)).collect())
    }
}

impl fmt::Display for Addresses {
    /// As a file of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(node, address)| writeln!(f, "{node} = {address:?}"))
    }
}

/// A name that is no node's in any network.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `coordinator`, or `server-0` and so on")]
pub(crate) struct NoNode;

impl FromStr for Node {
    type Err = NoNode;

    fn from_str(name: &str) -> Result<Self, NoNode> {
        let server = || name.strip_prefix("server-")?.parse().ok().map(|id| Self::Server(ServerId(id)));
        let node = if name == "coordinator" { Some(Self::Coordinator) } else { server() };
        // One name for each node: `server-007` and `server-+7` are nobody's.
        node.filter(|node| node.to_string() == name).ok_or(NoNode)
    }
}

/// Why a directory has no network that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkDirError {
    #[error(
        "{} is not the directory of a network: it has no {NETWORK_FILE} (`hippodrome testnet up --dir DIR` makes one)",
        .0.display()
    )]
    NoNetwork(PathBuf),
    #[error(transparent)]
    File(#[from] NetworkFileError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{}: expected lines as `server-0 = \"host:port\"`, for nodes of the network", .0.display())]
    Addresses(PathBuf),
    #[error("{} does not hold `host:port`: the coordinator writes it there when it starts", .0.display())]
    Address(PathBuf),
    #[error(
        "nobody says where the coordinator is: neither `coordinator.address` in the network file nor {}",
        .0.display()
    )]
    NoAddress(PathBuf),
}

const NETWORK_FILE: &str = "network.toml";
/// Longest `host:port`.
const MAX_ADDRESS: usize = 300;

impl NetworkDir {
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// A network by its directory or its network file; beside the file there may be everything else.
    pub(crate) fn find(path: &Path) -> Result<(Self, Network), NetworkDirError> {
        if path.is_dir() {
            let dir = Self::new(path);
            let network = dir.load()?;
            Ok((dir, network))
        } else {
            Ok((Self::new(path.parent().unwrap_or(Path::new(""))), Network::load(path)?))
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    pub(crate) fn has_network(&self) -> bool {
        self.network_file().is_file()
    }

    /// The network, with all its signatures checked.
    pub(crate) fn load(&self) -> Result<Network, NetworkDirError> {
        if !self.has_network() {
            return Err(NetworkDirError::NoNetwork(self.0.clone()));
        }
        Ok(Network::load(&self.network_file())?)
    }

    /// Where the coordinator is: where it said so when it started, else where the network file says.
    pub(crate) fn coordinator_address(&self, network: &Network) -> Result<String, NetworkDirError> {
        let path = self.coordinator_address_file();
        match fs::read_to_string(&path) {
            Ok(text) => parse_address(&text).ok_or(NetworkDirError::Address(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                network.coordinator_address.clone().ok_or(NetworkDirError::NoAddress(path))
            }
            Err(_) => Err(NetworkDirError::Address(path)),
        }
    }

    pub(crate) fn network_file(&self) -> PathBuf {
        self.0.join(NETWORK_FILE)
    }

    pub(crate) fn registry(&self) -> PathBuf {
        self.0.join("registry.txt")
    }

    pub(crate) fn coordinator_address_file(&self) -> PathBuf {
        self.0.join("coordinator.address")
    }

    /// Keys of seats that nobody has taken.
    pub(crate) fn seats(&self) -> PathBuf {
        self.0.join("seats")
    }

    pub(crate) fn seat(&self, number: u16) -> PathBuf {
        self.seats().join(format!("{number:04}.key"))
    }

    /// What people of this machine keep.
    pub(crate) fn people(&self) -> PathBuf {
        self.0.join("people")
    }

    pub(crate) fn person(&self, name: &str) -> PathBuf {
        self.people().join(name)
    }

    pub(crate) fn key(&self, node: Node) -> PathBuf {
        self.0.join("keys").join(format!("{node}.key"))
    }

    pub(crate) fn state(&self, node: Node) -> PathBuf {
        self.0.join("state").join(node.to_string())
    }

    pub(crate) fn log(&self, node: Node) -> PathBuf {
        self.0.join("logs").join(format!("{node}.log"))
    }

    /// Where a node says where it listens.
    pub(crate) fn address_file(&self, node: Node) -> PathBuf {
        match node {
            Node::Coordinator => self.coordinator_address_file(),
            Node::Server(_) => self.0.join("run").join(format!("{node}.address")),
        }
    }

    pub(crate) fn fronts_file(&self) -> PathBuf {
        self.0.join("fronts.toml")
    }

    /// Where others reach nodes that are not where they listen, or are on other machines.
    pub(crate) fn fronts(&self) -> Result<Addresses, NetworkDirError> {
        Addresses::load(&self.fronts_file())
    }

    pub(crate) fn listens_file(&self) -> PathBuf {
        self.0.join("listen.toml")
    }

    /// Where nodes are to listen that may not take any port.
    pub(crate) fn listens(&self) -> Result<Addresses, NetworkDirError> {
        Addresses::load(&self.listens_file())
    }

    /// What rounds cost it, if the network is for measuring.
    pub(crate) fn ledger(&self, node: Node) -> PathBuf {
        self.0.join("ledgers").join(format!("{node}.csv"))
    }

    /// Held locked by a node for as long as it runs.
    pub(crate) fn pid_file(&self, node: Node) -> PathBuf {
        self.0.join("run").join(format!("{node}.pid"))
    }

    /// Held locked by whoever starts or stops nodes.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.0.join("run").join("lock")
    }

    /// Directories for everything that nodes write.
    pub(crate) fn make_rooms(&self) -> io::Result<()> {
        ["keys", "state", "logs", "run", "seats", "people", "ledgers"]
            .into_iter()
            .try_for_each(|room| fs::create_dir_all(self.0.join(room)))
    }
}

/// `host:port`, if that is what a file holds.
pub(crate) fn parse_address(text: &str) -> Option<String> {
    let text = text.trim();
    let (host, port) = text.rsplit_once(':')?;
    let whole = !host.is_empty() && port.parse::<u16>().is_ok() && text.len() <= MAX_ADDRESS;
    (whole && !text.contains(char::is_whitespace)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_read_back_from_its_name_and_from_no_other() {
        for node in [Node::Coordinator, Node::Server(ServerId(0)), Node::Server(ServerId(u16::MAX))] {
            assert_eq!(node.to_string().parse(), Ok(node));
        }
        for wrong in ["", "server", "server-", "server-x", "server-07", "server-+7", "server-65536", "Coordinator"] {
            assert_eq!(wrong.parse::<Node>(), Err(NoNode), "{wrong}");
        }
    }

    #[test]
    fn addresses_are_read_back_from_their_text() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let dir = NetworkDir::new(place.path());
        assert_eq!(dir.fronts().expect("there are none").of(Node::Coordinator), None);
        let server = Node::Server(ServerId(7));
        let addresses: Addresses = [(server, "[::1]:7400".to_owned())].into_iter().collect();
        fs::write(dir.fronts_file(), addresses.to_string()).expect("written");
        assert_eq!(dir.fronts().expect("there are some").of(server), Some("[::1]:7400"));
        fs::write(dir.fronts_file(), "server-07 = \"host:1\"").expect("written");
        assert!(matches!(dir.fronts(), Err(NetworkDirError::Addresses(_))));
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        assert_eq!(parse_address("127.0.0.1:80\n").as_deref(), Some("127.0.0.1:80"));
        assert_eq!(parse_address("[::1]:65535").as_deref(), Some("[::1]:65535"));
        for wrong in ["", "127.0.0.1", ":80", "host:", "host:65536", "ho st:1", "host:1\nhost:2"] {
            assert_eq!(parse_address(wrong), None, "{wrong}");
        }
    }
}
