//! Which node runs on which host.

use std::collections::BTreeMap;

use super::file::Host;
use crate::live::net::{COORDINATOR, node_names};

/// A host with its nodes, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed<'a> {
    /// The host.
    pub(super) host: &'a Host,
    /// Its nodes, the coordinator first.
    pub(super) nodes: Vec<String>,
}

/// Why nodes have no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// A host is to run what there is not.
    #[error("host `{host}` is to run {node}, which is no node of a network of {servers} servers")]
    Unknown {
        /// The host.
        host: String,
        /// What it lists.
        node: String,
        /// Servers that there are.
        servers: u16,
    },
    /// All hosts list their nodes, and none lists this one.
    #[error("{node} is on no host: list it in `nodes`, or leave `nodes` out of one of the hosts")]
    Homeless {
        /// The node.
        node: String,
    },
    /// A host has more nodes than ports.
    #[error("host `{host}` has {nodes} nodes, and too few ports from {first_port} on")]
    Ports {
        /// The host.
        host: String,
        /// Its nodes.
        nodes: usize,
        /// Its first port.
        first_port: u16,
    },
    /// Two nodes would listen at the same place.
    #[error("{one} and {other} would both have {address}: give one of these hosts another `first_port`")]
    Clash {
        /// The address.
        address: String,
        /// A node, and its host.
        one: String,
        /// Another.
        other: String,
    },
}

/// Gives each node of a network to a host: to the one that lists it; else, of the hosts that list nothing, the coordinator to
/// the first and servers to one after the other.
pub(super) fn deal(hosts: &[Host], servers: u16) -> Result<Vec<Placed<'_>>, PlacementError> {
    hosts.iter().try_for_each(|host| lists_only_nodes(host, servers))?;
    let lists = |host: &Host, node: &String| host.nodes.as_ref().is_some_and(|nodes| nodes.contains(node));
    let mut placed: Vec<Placed<'_>> = hosts.iter().map(|host| Placed { host, nodes: Vec::new() }).collect();
    let free: Vec<usize> = (0..hosts.len()).filter(|index| hosts[*index].nodes.is_none()).collect();
    let mut turns = free.iter().cycle();
    for node in node_names(servers) {
        let listed = hosts.iter().position(|host| lists(host, &node));
        let next = || match node == COORDINATOR {
            true => free.first().copied(),
            false => turns.next().copied(),
        };
        let index = listed.or_else(next).ok_or_else(|| PlacementError::Homeless { node: node.clone() })?;
        placed[index].nodes.push(node);
    }
    placed.retain(|placed| !placed.nodes.is_empty());
    placed.iter().try_for_each(Placed::has_ports)?;
    no_clash(&placed).map(|()| placed)
}

fn lists_only_nodes(host: &Host, servers: u16) -> Result<(), PlacementError> {
    let unknown = host.nodes.iter().flatten().find(|node| !node_names(servers).any(|known| known == **node));
    unknown.map_or(Ok(()), |node| Err(PlacementError::Unknown { host: host.name.clone(), node: node.clone(), servers }))
}

/// Refuses nodes that would be reached at the same address, or listen at the same one of the same machine.
fn no_clash(placed: &[Placed<'_>]) -> Result<(), PlacementError> {
    let mut taken = BTreeMap::new();
    for placed in placed {
        for (node, port) in placed.ports() {
            let Host { name, shell, .. } = placed.host;
            let listens = placed.host.listens_at(port);
            let one = format!("{node} on host `{name}`");
            for place in [(None, placed.host.reached_at(port)), (Some(shell), listens)] {
                let address = place.1.clone();
                if let Some(other) = taken.insert(place, one.clone()) {
                    return Err(PlacementError::Clash { address, one, other });
                }
            }
        }
    }
    Ok(())
}

impl Placed<'_> {
    fn has_ports(&self) -> Result<(), PlacementError> {
        let Host { name, first_port, .. } = self.host;
        match usize::from(u16::MAX - first_port) + 1 < self.nodes.len() {
            true => {
                let (host, nodes, first_port) = (name.clone(), self.nodes.len(), *first_port);
                Err(PlacementError::Ports { host, nodes, first_port })
            }
            false => Ok(()),
        }
    }

    /// Its nodes with their ports.
    fn ports(&self) -> impl Iterator<Item = (&String, u16)> {
        self.nodes.iter().zip(self.host.first_port..=u16::MAX)
    }

    /// Its nodes with where others reach them.
    pub(super) fn fronts(&self) -> impl Iterator<Item = (&str, String)> {
        self.ports().map(|(node, port)| (node.as_str(), self.host.reached_at(port)))
    }

    /// Whether a node is here.
    pub(super) fn has(&self, node: &str) -> bool {
        self.nodes.iter().any(|own| own == node)
    }

    /// Whether the coordinator is here.
    pub(super) fn has_coordinator(&self) -> bool {
        self.has(COORDINATOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, nodes: Option<&[&str]>) -> Host {
        Host {
            name: name.to_owned(),
            address: name.to_owned(),
            listen: None,
            first_port: 7400,
            shell: vec!["ssh".to_owned(), name.to_owned()],
            directory: "/var/tmp/h".to_owned(),
            program: "hippodrome".to_owned(),
            nodes: nodes.map(|nodes| nodes.iter().map(|node| (*node).to_owned()).collect()),
        }
    }

    /// Names of hosts, with their nodes.
    fn dealt(hosts: &[Host], servers: u16) -> Vec<(String, String)> {
        let placed = deal(hosts, servers).expect("there is a place for all");
        placed.iter().map(|placed| (placed.host.name.clone(), placed.nodes.join(" "))).collect()
    }

    fn is(dealt: &[(String, String)], expected: &[(&str, &str)]) {
        let dealt: Vec<(&str, &str)> = dealt.iter().map(|(host, nodes)| (host.as_str(), nodes.as_str())).collect();
        assert_eq!(dealt, expected);
    }

    #[test]
    fn servers_are_dealt_one_by_one_and_the_coordinator_goes_to_the_first() {
        let hosts = [host("a", None), host("b", None)];
        is(&dealt(&hosts, 3), &[("a", "coordinator server-0 server-2"), ("b", "server-1")]);
        is(&dealt(&[host("a", None), host("b", None), host("c", None)], 1), &[("a", "coordinator server-0")]);
    }

    #[test]
    fn who_lists_nodes_has_these_and_no_others() {
        let hosts = [host("a", Some(&["server-1"])), host("b", None), host("c", None)];
        is(&dealt(&hosts, 4), &[("a", "server-1"), ("b", "coordinator server-0 server-3"), ("c", "server-2")]);
        let hosts = [host("a", None), host("b", Some(&["server-0", "coordinator"])), host("c", Some(&[]))];
        is(&dealt(&hosts, 2), &[("a", "server-1"), ("b", "coordinator server-0")]);
    }

    #[test]
    fn nodes_without_a_host_and_hosts_without_such_a_node_are_refused() {
        let listed = [host("a", Some(&["coordinator", "server-0"]))];
        assert_eq!(deal(&listed, 2), Err(PlacementError::Homeless { node: "server-1".into() }));
        let refused = deal(&[host("a", Some(&["server-2"])), host("b", None)], 2).expect_err("no such server");
        assert!(refused.to_string().contains("server-2") && refused.to_string().contains("2 servers"), "{refused}");
    }

    #[test]
    fn no_two_nodes_have_the_same_place() {
        let fronts = |placed: &Placed<'_>| placed.fronts().map(|(_, address)| address).collect::<Vec<_>>();
        let hosts = [host("a", None), host("b", None)];
        assert_eq!(fronts(&deal(&hosts, 3).expect("dealt")[0]), ["a:7400", "a:7401", "a:7402"]);
        let behind_one_address =
            |first_port| [host("a", None), Host { first_port, address: "a".into(), ..host("b", None) }];
        assert!(matches!(deal(&behind_one_address(7402), 3), Err(PlacementError::Clash { .. })));
        assert!(deal(&behind_one_address(7403), 3).is_ok());
        // Two of one machine that listen at all of its addresses.
        let all = |name: &str| Host { listen: Some("0.0.0.0".into()), shell: vec!["sh".into()], ..host(name, None) };
        let refused = deal(&[all("a"), all("b")], 2).expect_err("the same ports").to_string();
        assert!(refused.contains("0.0.0.0:7400") && refused.contains("first_port"), "{refused}");
        let last = [Host { first_port: u16::MAX, ..host("a", None) }];
        assert!(matches!(deal(&last, 1), Err(PlacementError::Ports { nodes: 2, .. })));
        assert!(deal(&[host("a", None), Host { first_port: u16::MAX, ..host("b", None) }], 2).is_ok());
    }
}
