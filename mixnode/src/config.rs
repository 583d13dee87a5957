//! Settings of a mix server.

use std::path::{Path, PathBuf};

use hippodrome_store::config::{self, ConfigError};
use serde::{Deserialize, Serialize};

/// Where a mix server's files are, and where it and others are reached. What all servers must agree on is in the network
/// file instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MixnodeConfig {
    /// The network file, signed by all servers. Default `network.toml`.
    pub network: PathBuf,
    /// The server's key file. Default `server.key`.
    pub key: PathBuf,
    /// Directory of the durable marks; never delete it, never copy it back from a backup. Default `state`.
    pub state_dir: PathBuf,
    /// `host:port` to listen on; port 0 takes any free one. Default `127.0.0.1:7701`.
    pub listen: String,
    /// `host:port` at which other servers reach this one. Default: where it listens.
    pub advertise: Option<String>,
    /// Where to write the `host:port` that is listened on, once it is. Default: nowhere.
    pub address_file: Option<PathBuf>,
    /// `host:port` of the coordinator. Default: what the network file says.
    pub coordinator: Option<String>,
    /// `host:port` at which `/metrics` answers, for the operator alone. Default: nowhere.
    pub metrics: Option<String>,
    /// Threads that mix and prove; 0, the default, is one for each core.
    pub threads: usize,
    /// Where to write what rounds cost, part by part. Only in networks that are for measuring. Default: nowhere.
    pub ledger: Option<PathBuf>,
}

impl Default for MixnodeConfig {
    fn default() -> Self {
        Self {
            network: "network.toml".into(),
            key: "server.key".into(),
            state_dir: "state".into(),
            listen: "127.0.0.1:7701".to_owned(),
            advertise: None,
            address_file: None,
            coordinator: None,
            metrics: None,
            threads: 0,
            ledger: None,
        }
    }
}

impl MixnodeConfig {
    /// Reads a file of settings. Relative paths in it start from its own directory.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut settings: Self = config::load(path)?;
        let base = path.parent().unwrap_or(Path::new(""));
        let named = [&mut settings.network, &mut settings.key, &mut settings.state_dir];
        for file in named.into_iter().chain(&mut settings.address_file).chain(&mut settings.ledger) {
            *file = base.join(&*file);
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../docs/examples/mixnode.toml");

    #[test]
    fn the_example_shows_every_setting_with_its_default() {
        let checked = config::check_example::<MixnodeConfig>(Path::new("docs/examples/mixnode.toml"), EXAMPLE);
        assert!(checked.is_ok(), "{checked:?}");
    }

    #[test]
    fn refuses_unknown_and_mistyped_settings_with_line_and_key() {
        let parse = |text| config::parse::<MixnodeConfig>(Path::new("node.toml"), text);
        let unknown = parse("threads = 2\nlisten_on = \"127.0.0.1:0\"\n").expect_err("an unknown key").to_string();
        assert!(unknown.starts_with("node.toml, line 2, `listen_on`: unknown field"), "{unknown}");
        let mistyped = parse("\nthreads = \"two\"\n").expect_err("a text for a number").to_string();
        assert!(mistyped.starts_with("node.toml, line 2, `threads`: invalid type"), "{mistyped}");
        let negative = parse("threads = -1").expect_err("a negative number").to_string();
        assert!(negative.starts_with("node.toml, line 1, `threads`: invalid value"), "{negative}");
    }

    #[test]
    fn paths_start_from_the_directory_of_the_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("node.toml");
        std::fs::write(&path, "key = \"own.key\"\nstate_dir = \"/var/lib/mix\"\n").expect("written");
        let settings = MixnodeConfig::load(&path).expect("read");
        assert_eq!(settings.key, directory.path().join("own.key"));
        assert_eq!(settings.network, directory.path().join("network.toml"));
        assert_eq!(settings.state_dir, Path::new("/var/lib/mix"));
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let settings =
            MixnodeConfig { advertise: Some("mix.example:7701".to_owned()), threads: 3, ..Default::default() };
        let printed = config::print(&settings);
        assert_eq!(config::parse::<MixnodeConfig>(Path::new("printed"), &printed), Ok(settings));
    }
}
