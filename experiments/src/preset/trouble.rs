//! What goes wrong in a point.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Point, PresetError, wrong};

/// Something that goes wrong, once, when the warm-up is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Trouble {
    /// Nothing, to compare others with.
    #[serde(rename = "none")]
    Nothing {},
    /// A server is killed, and does not come back.
    Kill {
        /// The server.
        node: String,
    },
    /// A node's time stands still.
    Freeze {
        /// The node.
        node: String,
        /// For so long, milliseconds.
        for_ms: u64,
    },
    /// A node is killed, and started again.
    Restart {
        /// The node.
        node: String,
        /// So long after it was killed, milliseconds.
        after_ms: u64,
    },
    /// A server cheats from then on.
    Cheat {
        /// The server.
        node: String,
        /// The cheat, by the name that `mutant --list` prints.
        cheat: String,
    },
}

/// The node that all servers ask.
const COORDINATOR: &str = "coordinator";

impl Trouble {
    /// The node that it happens to.
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::Nothing {} => None,
            Self::Kill { node } | Self::Freeze { node, .. } | Self::Restart { node, .. } | Self::Cheat { node, .. } => {
                Some(node)
            }
        }
    }

    /// The server that cheats, and how.
    pub fn cheat(&self) -> Option<(&str, &str)> {
        match self {
            Self::Cheat { node, cheat } => Some((node, cheat)),
            _ => None,
        }
    }

    /// How long it lasts until its end is made to come, milliseconds; 0 if it has none.
    fn lasts_ms(&self) -> u64 {
        match self {
            Self::Freeze { for_ms, .. } => *for_ms,
            Self::Restart { after_ms, .. } => *after_ms,
            Self::Nothing {} | Self::Kill { .. } | Self::Cheat { .. } => 0,
        }
    }

    /// Whether it can happen in the network of a point, and be over while rounds are counted.
    pub(super) fn check(&self, point: &Point, origin: &str) -> Result<(), PresetError> {
        let is_server = |node: &str| (0..point.servers).any(|id| node == format!("server-{id}"));
        let may_be_coordinator = matches!(self, Self::Freeze { .. } | Self::Restart { .. });
        if let Some(node) = self.node().filter(|node| !is_server(node) && *node != COORDINATOR) {
            return Err(wrong(origin, "trouble.node", node, "`coordinator`, or a server as `server-0`"));
        }
        if self.node() == Some(COORDINATOR) && !may_be_coordinator {
            let expected =
                "a server: without a coordinator no round ends (`restart` brings it back), and what it does is seen";
            return Err(wrong(origin, "trouble.node", COORDINATOR, expected));
        }
        if self.cheat().is_some() && point.links().is_some() {
            let expected = "no links in a point that cheats: what takes a server's place is in front of them";
            return Err(wrong(origin, "trouble.kind", "cheat", expected));
        }
        if self.lasts_ms() >= point.rounds as u64 * point.period_ms {
            return Err(wrong(origin, "trouble", self, "an end before the counted rounds are over"));
        }
        Ok(())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing {} => f.write_str("none"),
            Self::Kill { node } => write!(f, "kill {node}"),
            Self::Freeze { node, for_ms } => write!(f, "freeze {node} for {for_ms} ms"),
            Self::Restart { node, after_ms } => write!(f, "restart {node} after {after_ms} ms"),
            Self::Cheat { node, cheat } => write!(f, "{cheat} by {node}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset::Preset;

    fn trouble(settings: &str) -> Result<Option<Trouble>, String> {
        let head = "name = \"t\"\ntitle = \"T\"\nabout = \"a\"\nseed = 1\nrepeats = 1\n";
        let text = format!("{head}[point]\nservers = 4\nperiod_ms = 1000\nrounds = 10\n{settings}\n");
        let preset = Preset::parse("t.toml", &text).map_err(|error| error.to_string())?;
        Ok(preset.points().expect("they were checked")[0].point.trouble.clone())
    }

    #[test]
    fn every_kind_of_trouble_is_read_and_says_what_it_is() {
        for (settings, words) in [
            ("{ kind = \"none\" }", "none"),
            ("{ kind = \"kill\", node = \"server-3\" }", "kill server-3"),
            ("{ kind = \"freeze\", node = \"coordinator\", for_ms = 3000 }", "freeze coordinator for 3000 ms"),
            ("{ kind = \"restart\", node = \"server-0\", after_ms = 0 }", "restart server-0 after 0 ms"),
            ("{ kind = \"cheat\", node = \"server-2\", cheat = \"two-vectors\" }", "two-vectors by server-2"),
        ] {
            let read = trouble(&format!("trouble = {settings}")).expect("a preset").expect("trouble");
            assert_eq!(read.to_string(), words);
        }
        assert_eq!(trouble(""), Ok(None));
    }

    #[test]
    fn trouble_that_cannot_happen_is_refused_with_the_reason() {
        for (settings, words) in [
            ("trouble = { kind = \"melt\", node = \"server-0\" }", "melt"),
            ("trouble = { kind = \"kill\" }", "node"),
            ("trouble = { kind = \"kill\", node = \"server-0\", after_ms = 1 }", "after_ms"),
            ("trouble = { kind = \"none\", node = \"server-0\" }", "node"),
            ("trouble = { kind = \"kill\", node = \"server-4\" }", "server-4"),
            ("trouble = { kind = \"kill\", node = \"server-03\" }", "server-03"),
            ("trouble = { kind = \"kill\", node = \"coordinator\" }", "restart"),
            ("trouble = { kind = \"cheat\", node = \"coordinator\", cheat = \"x\" }", "a server"),
            ("trouble = { kind = \"freeze\", node = \"server-0\", for_ms = 10000 }", "before the counted rounds"),
            ("link = { delay_ms = 1 }\ntrouble = { kind = \"cheat\", node = \"server-0\", cheat = \"x\" }", "no links"),
        ] {
            let said = trouble(settings).expect_err("a bad preset");
            assert!(said.contains(words), "`{words}` is not in: {said}");
        }
    }
}
