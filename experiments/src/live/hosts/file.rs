//! The file that lists hosts.

use std::{collections::BTreeSet, fs, io, path::Path};

use hippodrome_store::config::{self, TextError};
use serde::Deserialize;

/// A machine for nodes, or whatever else takes command lines.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Its name in files and messages.
    pub name: String,
    /// Where all others reach its nodes.
    pub address: String,
    /// Where they listen, if not there.
    pub listen: Option<String>,
    /// The port of its first node; the others have those that follow.
    pub first_port: u16,
    /// A command that runs a command line there, which is its last argument.
    pub shell: Vec<String>,
    /// A directory there for files of runs.
    pub directory: String,
    /// The program there.
    #[serde(default = "program")]
    pub program: String,
    /// Its nodes; some of those that no host has listed, if none are given.
    pub nodes: Option<Vec<String>>,
}

fn program() -> String {
    "hippodrome".to_owned()
}

/// What is wrong with a file of hosts.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It is not understood.
    #[error("line {}{}: {}", .0.line, in_key(.0.key.as_deref()), .0.message)]
    Text(#[from] TextError),
    /// There is nobody in it.
    #[error("there is no host; expected `[[hosts]]` at least once")]
    Empty,
    /// A setting of a host.
    #[error("host `{host}`: `{setting}` is `{value}`; expected {expected}")]
    Setting {
        /// The host.
        host: String,
        /// The setting.
        setting: &'static str,
        /// What it is.
        value: String,
        /// What was expected.
        expected: &'static str,
    },
    /// Two hosts have something that only one can have.
    #[error("two hosts have the {what} `{value}`; expected one of its own for each")]
    Twice {
        /// What they share.
        what: &'static str,
        /// Its value.
        value: String,
    },
}

fn in_key(key: Option<&str>) -> String {
    key.map_or(String::new(), |key| format!(", `{key}`"))
}

/// Hosts, and the text that lists them.
#[derive(Clone, Debug)]
pub struct HostsFile {
    text: String,
    hosts: Vec<Host>,
}

/// Two files are the same if they list the same hosts.
impl PartialEq for HostsFile {
    fn eq(&self, other: &Self) -> bool {
        self.hosts == other.hosts
    }
}

impl HostsFile {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        Self::parse(path, fs::read_to_string(path)?)
    }

    /// Reads and checks a text; `path` is for messages.
    pub fn parse(path: &Path, text: String) -> Result<Self, FileError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            #[serde(default)]
            hosts: Vec<Host>,
        }
        let File { hosts } = config::parse(path, &text)?;
        check(&hosts)?;
        Ok(Self { text, hosts })
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Names of the hosts.
    pub fn names(&self) -> Vec<String> {
        self.hosts.iter().map(|host| host.name.clone()).collect()
    }

    /// The hosts, at least one.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }
}

fn check(hosts: &[Host]) -> Result<(), FileError> {
    if hosts.is_empty() {
        return Err(FileError::Empty);
    }
    hosts.iter().try_for_each(Host::check)?;
    once("name", hosts.iter().map(|host| host.name.clone()))?;
    once("node", hosts.iter().flat_map(|host| host.nodes.iter().flatten().cloned()))?;
    // Whoever stops the nodes of one of them would stop those of the other.
    once("shell and directory", hosts.iter().map(|host| format!("{} {}", host.shell.join(" "), host.place())))
}

/// Refuses what is there twice.
fn once(what: &'static str, values: impl Iterator<Item = String>) -> Result<(), FileError> {
    let mut seen = BTreeSet::new();
    for value in values {
        if !seen.insert(value.clone()) {
            return Err(FileError::Twice { what, value });
        }
    }
    Ok(())
}

/// Longest name of a machine.
const MAX_NAME: usize = 253;

impl Host {
    fn check(&self) -> Result<(), FileError> {
        let Self { name, address, listen, first_port, shell, directory, program, nodes } = self;
        let expect = |holds: bool, setting, value: &str, expected| match holds {
            true => Ok(()),
            false => Err(FileError::Setting { host: name.clone(), setting, value: value.to_owned(), expected }),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_name = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(plain);
        expect(is_name && name.len() <= MAX_NAME, "name", name, "letters and digits, with `-`, `_` and `.` between")?;
        for (setting, value) in [("address", Some(address)), ("listen", listen.as_ref())] {
            let value = value.map_or("localhost", String::as_str);
            expect(is_address(value), setting, value, "a name or an IP address, without a port")?;
        }
        expect(*first_port > 0, "first_port", "0", "a port that all can know beforehand")?;
        expect(shell.iter().any(|word| !word.is_empty()), "shell", "", "a command, as in [\"ssh\", \"anna\"]")?;
        expect(directory.starts_with('/'), "directory", directory, "a path that begins with `/`")?;
        expect(!program.is_empty(), "program", program, "a path, or a name that its shell finds")?;
        let odd = nodes.iter().flatten().find(|node| !is_node(node));
        odd.map_or(Ok(()), |odd| expect(false, "nodes", odd, "`coordinator`, or `server-0` and so on"))
    }

    /// What of its directory is the run's; everything else in it is left alone.
    pub(super) fn place(&self) -> String {
        format!("{}/experiment", self.directory.trim_end_matches('/'))
    }

    /// A port of it, as others reach it.
    pub(super) fn reached_at(&self, port: u16) -> String {
        socket(&self.address, port)
    }

    /// A port of it, as it listens there.
    pub(super) fn listens_at(&self, port: u16) -> String {
        socket(self.listen.as_ref().unwrap_or(&self.address), port)
    }
}

/// Whether it can be a machine's; whether there is such a machine is for others to say.
fn is_address(address: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "\"\\/@".contains(c);
    // What has a colon must be an address of IP version 6: anything else has a port.
    let has_port = address.contains(':') && address.trim_matches(['[', ']']).parse::<std::net::Ipv6Addr>().is_err();
    !address.is_empty() && address.len() <= MAX_NAME && !address.contains(odd) && !has_port
}

fn is_node(name: &str) -> bool {
    let number = |number: &str| number.parse::<u16>().is_ok_and(|id| id.to_string() == number);
    name == "coordinator" || name.strip_prefix("server-").is_some_and(number)
}

/// `host:port`, with brackets where the host has colons.
pub(super) fn socket(host: &str, port: u16) -> String {
    if host.contains(':') { format!("{}:{port}", bracketed(host)) } else { format!("{host}:{port}") }
}

/// An address as it stands before a port.
pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{}]", host.trim_matches(['[', ']'])) } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: &str = "[[hosts]]\nname = \"anna\"\naddress = \"192.0.2.1\"\nfirst_port = 7400\n\
                        shell = [\"ssh\", \"anna\"]\ndirectory = \"/var/tmp/h\"\n";

    fn parse(text: &str) -> Result<HostsFile, FileError> {
        HostsFile::parse(Path::new("hosts.toml"), text.to_owned())
    }

    fn refused(text: &str) -> String {
        parse(text).expect_err(text).to_string()
    }

    /// Anna, and Bert who differs in what has to differ.
    fn both() -> String {
        format!("{ANNA}{}", ANNA.replace("anna", "bert"))
    }

    #[test]
    fn hosts_are_read_with_what_is_usual() {
        let file = parse(&both()).expect("good");
        assert_eq!(file.hosts().len(), 2);
        assert_eq!((file.hosts()[0].program.as_str(), file.hosts()[0].nodes.as_ref()), ("hippodrome", None));
        assert_eq!(file, parse(&format!("# Two of them.\n{}", both())).expect("good"), "comments make no difference");
        assert_ne!(file, parse(ANNA).expect("good"));
    }

    #[test]
    fn the_example_lists_hosts() {
        const EXAMPLE: &str = include_str!("../../../../docs/examples/hosts-namespaces.toml");
        let places: BTreeSet<_> = parse(EXAMPLE).expect("good").hosts().iter().map(Host::place).collect();
        assert_eq!(places.len(), 3);
    }

    #[test]
    fn what_a_host_cannot_be_is_refused_by_its_name() {
        for (from, to, words) in [
            ("name = \"anna\"", "name = \"../anna\"", "`name` is `../anna`"),
            ("192.0.2.1", "192.0.2.1:80", "without a port"),
            ("192.0.2.1", "two words", "`address`"),
            ("7400", "0", "`first_port`"),
            ("[\"ssh\", \"anna\"]", "[]", "[\"ssh\", \"anna\"]"),
            ("/var/tmp/h", "tmp", "begins with `/`"),
            ("first_port", "port", "line 4, `port`: unknown field `port`"),
        ] {
            let said = refused(&ANNA.replace(from, to));
            assert!(said.contains(words), "{said}");
        }
        for (line, words) in [
            ("nodes = [\"server-01\"]", "`server-01`"),
            ("program = \"\"", "`program`"),
            ("listen = \"0.0.0.0:1\"", "`listen` is `0.0.0.0:1`"),
        ] {
            let said = refused(&format!("{ANNA}{line}\n"));
            assert!(said.contains(words), "{said}");
        }
        assert!(refused("").contains("no host"));
    }

    #[test]
    fn what_only_one_can_have_two_cannot() {
        assert!(refused(&both().replace("name = \"bert\"", "name = \"anna\"")).contains("the name `anna`"));
        let one_shell = both().replace("[\"ssh\", \"bert\"]", "[\"ssh\", \"anna\"]");
        assert!(refused(&one_shell).contains("shell and directory"));
        let node = "nodes = [\"server-1\"]\n";
        let listed = format!("{ANNA}{node}{}{node}", ANNA.replace("anna", "bert"));
        assert!(refused(&listed).contains("the node `server-1`"));
    }

    #[test]
    fn addresses_with_colons_have_brackets_before_a_port() {
        assert_eq!(socket("192.0.2.1", 80), "192.0.2.1:80");
        assert_eq!([socket("2001:db8::1", 80), socket("[2001:db8::1]", 80)], ["[2001:db8::1]:80", "[2001:db8::1]:80"]);
    }
}
