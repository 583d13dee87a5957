//! All command lines of a run, in order.

use std::path::Path;

use super::{
    file::Host,
    lines::{join, quote},
    placement::Placed,
};
use crate::live::{Run, net::crowd_flags};

const HEAD: &str = "\
#!/bin/sh
# All of this run, by hand: line by line, in an empty directory. A host that no shell reaches from here is given
# `hosts/NAME.tar`, and told what stands in quotes at the end of its lines; what it has written into `ledgers`, `logs` and
# `state` goes into `net`.
";

/// The lines of a run on hosts, with paths that begin in its directory.
pub(super) struct Script<'a> {
    program: &'a Path,
    pub(super) placed: Vec<Placed<'a>>,
    flags: Vec<String>,
    crowd: Vec<String>,
}

impl<'a> Script<'a> {
    /// Those of a run with its nodes on these hosts.
    pub(super) fn new(run: &Run<'a>, placed: Vec<Placed<'a>>) -> Self {
        let program = &run.programs.hippodrome;
        Self { program, placed, flags: run.point.flags(run.network), crowd: crowd_flags(run) }
    }

    /// Founds the network on this machine, and packs what each host needs.
    pub(super) fn prepare(&self) -> Vec<String> {
        let founded = [self.fronts(), self.found()];
        founded.into_iter().chain(self.placed.iter().map(Placed::pack)).collect()
    }

    /// Writes down where all nodes are reached.
    fn fronts(&self) -> String {
        let fronts = self.placed.iter().flat_map(Placed::fronts).map(|(node, address)| format!("{node} = {address:?}"));
        let lines: Vec<String> = fronts.map(|line| quote(&line)).collect();
        format!(r"printf '%s\n' {} > fronts.toml", lines.join(" "))
    }

    fn found(&self) -> String {
        self.here(["testnet", "found", "--dir", "net", "--fronts", "fronts.toml"], &self.flags)
    }

    fn crowd(&self) -> String {
        self.here(["experiment", "crowd", "--network", "net", "--out", "."], &self.crowd)
    }

    /// A line of the program on this machine.
    fn here(&self, words: [&str; 6], flags: &[String]) -> String {
        let program = quote(&self.program.to_string_lossy());
        format!("{program} {} {}", words.join(" "), join(flags.iter().map(String::as_str)))
    }

    /// The hosts in the order in which they start, those of a part at the same time. The one with the coordinator is last,
    /// so that all servers are there when it begins to wait for them.
    pub(super) fn parts(&self) -> [Vec<&Host>; 2] {
        let with = |coordinator: bool| {
            self.placed.iter().filter(move |placed| placed.has_coordinator() == coordinator).map(|placed| placed.host)
        };
        [with(false).collect(), with(true).collect()]
    }

    /// Every line, for people.
    pub(super) fn text(&self) -> String {
        let hosts = |line: fn(&Host) -> String| self.placed.iter().map(|placed| line(placed.host)).collect::<Vec<_>>();
        let started = self.parts().concat().into_iter().map(Host::start).collect();
        let asked = hosts(Host::usage).into_iter().map(|line| format!("# {line}")).collect();
        let parts: [(&str, Vec<String>); 9] = [
            ("Nothing is left of earlier runs", hosts(Host::clear)),
            ("The network, and what each host needs of it", self.prepare()),
            ("Bring it there", hosts(Host::copy)),
            ("Start the nodes, the coordinator last", started),
            ("The crowd", vec![self.crowd()]),
            ("Meanwhile, when it says `warm` and `done`: what have nodes used?", asked),
            ("Stop the nodes", hosts(Host::stop)),
            ("Bring back what they wrote", hosts(Host::fetch)),
            ("Leave nothing there", hosts(Host::clear)),
        ];
        let part = |(title, lines): (&str, Vec<String>)| format!("\n# {title}\n{}\n", lines.join("\n"));
        HEAD.to_owned() + &parts.map(part).concat()
    }

    /// Where everything is, for people.
    pub(super) fn places(&self) -> String {
        let lines = self.placed.iter().flat_map(|placed| {
            placed.fronts().map(move |(node, address)| format!("{node:<12} {:<16} {address}\n", placed.host.name))
        });
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        live::{
            Programs,
            hosts::{file::HostsFile, placement::deal},
        },
        preset::Point,
    };

    const HOSTS: &str = r#"
[[hosts]]
name = "anna"
address = "192.0.2.1"
first_port = 7400
shell = ["ssh", "anna"]
directory = "/var/tmp/h"

[[hosts]]
name = "bert"
address = "192.0.2.2"
first_port = 7500
shell = ["ssh", "bert"]
directory = "/var/tmp/h"
program = "/opt/hippodrome"
"#;

    #[test]
    fn a_script_founds_brings_starts_stops_and_brings_back_in_this_order() {
        let file = HostsFile::parse(Path::new("hosts.toml"), HOSTS.to_owned()).expect("good");
        let point = Point { servers: 2, ..Point::default() };
        let placed = deal(file.hosts(), point.servers).expect("dealt");
        let programs = Programs::new("/usr/bin/hippodrome".into(), None);
        let run = Run { programs: &programs, hosts: None, point: &point, network: 3, talk: 4, dir: "run".into() };
        let script = Script::new(&run, placed);
        let text = script.text();
        let mut rest = text.as_str();
        for words in [
            "'coordinator = \"192.0.2.1:7400\"' 'server-0 = \"192.0.2.1:7401\"' 'server-1 = \"192.0.2.2:7500\"' > fronts.toml",
            "/usr/bin/hippodrome testnet found --dir net --fronts fronts.toml --testbed 3",
            "hosts/anna.tar network.toml fronts.toml registry.txt keys/coordinator.key keys/server-0.key",
            "hosts/bert.tar network.toml fronts.toml keys/server-1.key",
            "< hosts/anna.tar",
            "ssh bert '/opt/hippodrome testnet host --dir /var/tmp/h/experiment'",
            "ssh anna 'hippodrome testnet host --dir /var/tmp/h/experiment'",
            "/usr/bin/hippodrome experiment crowd --network net --out . --pairs",
            "# ssh anna 'hippodrome testnet usage",
            "testnet down --if-up",
            "ledgers logs state' | tar -C net",
            "rm -rf /var/tmp/h/experiment",
        ] {
            let at = rest.find(words).unwrap_or_else(|| panic!("`{words}` does not follow: {text}"));
            rest = &rest[at + words.len()..];
        }
        assert!(script.places().contains("server-1     bert             192.0.2.2:7500\n"), "{}", script.places());
    }
}
