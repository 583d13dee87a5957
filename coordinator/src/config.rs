//! Settings of a coordinator.

use std::path::{Path, PathBuf};

use hippodrome_store::config::{self, ConfigError};
use serde::{Deserialize, Serialize};

/// Settings of a coordinator; the network's parameters are in the network file, the same for everybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CoordinatorConfig {
    /// The network file, signed by all servers. Default `network.toml`.
    pub network: PathBuf,
    /// The coordinator's key file. Default `coordinator.key`.
    pub key: PathBuf,
    /// Keys of the clients that the next epoch registers. Default `registry.txt`.
    pub registry: PathBuf,
    /// Directory of the durable marks, of no other process. Default `coordinator-state`.
    pub state_dir: PathBuf,
    /// `host:port` to listen on; port 0 takes the one in `address_file` again, or any free one. Default `127.0.0.1:7400`.
    pub listen: String,
    /// `host:port` at which `/metrics` answers, for the operator alone. Default: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<String>,
    /// Where to write the `host:port` that is listened on, once it is. Default: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_file: Option<PathBuf>,
}

impl Default for CoordinatorConfig {
    fn default() -> Self {
        Self {
            network: "network.toml".into(),
            key: "coordinator.key".into(),
            registry: "registry.txt".into(),
            state_dir: "coordinator-state".into(),
            listen: "127.0.0.1:7400".into(),
            metrics: None,
            address_file: None,
        }
    }
}

impl CoordinatorConfig {
    /// Reads a file of settings. Relative paths in it start from its own directory.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut settings: Self = config::load(path)?;
        let base = path.parent().unwrap_or(Path::new(""));
        let files = [&mut settings.network, &mut settings.key, &mut settings.registry, &mut settings.state_dir];
        for file in files.into_iter().chain(&mut settings.address_file) {
            *file = base.join(&*file);
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../docs/examples/coordinator.toml");

    #[test]
    fn the_example_shows_every_setting_with_its_default() {
        let path = Path::new("docs/examples/coordinator.toml");
        let checked = config::check_example::<CoordinatorConfig>(path, EXAMPLE);
        assert!(checked.is_ok(), "{checked:?}");
    }

    #[test]
    fn refuses_unknown_settings_with_line_and_key() {
        let refused = config::parse::<CoordinatorConfig>(Path::new("c.toml"), "\nport = 7400\n").expect_err("unknown");
        assert!(refused.to_string().starts_with("c.toml, line 2, `port`: unknown field"), "{refused}");
    }

    #[test]
    fn paths_start_from_the_directory_of_the_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("c.toml");
        std::fs::write(&path, "address_file = \"address\"\nstate_dir = \"/var/lib/c\"\n").expect("written");
        let settings = CoordinatorConfig::load(&path).expect("read");
        assert_eq!(settings.address_file, Some(directory.path().join("address")));
        assert_eq!(settings.registry, directory.path().join("registry.txt"));
        assert_eq!(settings.state_dir, Path::new("/var/lib/c"));
    }
}
