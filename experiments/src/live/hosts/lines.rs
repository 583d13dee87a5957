//! Command lines for hosts, each for a shell in the directory of a run.

use super::{
    file::{Host, bracketed},
    placement::Placed,
};

/// A word as every shell reads it back.
pub(super) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Words as a command line.
pub(super) fn join<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(quote).collect::<Vec<_>>().join(" ")
}

impl Placed<'_> {
    /// Packs what the host needs, and nothing else: no key but those of its own nodes.
    pub(super) fn pack(&self) -> String {
        let keys = self.nodes.iter().map(|node| format!("keys/{node}.key"));
        let registry = self.has_coordinator().then(|| "registry.txt".to_owned());
        let files: Vec<String> = registry.into_iter().chain(keys).collect();
        let archive = self.host.archive();
        format!("umask 077 && mkdir -p hosts && tar -C net -cf {archive} network.toml fronts.toml {}", files.join(" "))
    }
}

impl Host {
    /// What it needs, packed.
    fn archive(&self) -> String {
        quote(&format!("hosts/{}.tar", self.name))
    }

    /// Runs a line there.
    fn on(&self, line: &str) -> String {
        format!("{} {}", join(self.shell.iter().map(String::as_str)), quote(line))
    }

    /// A line of the program there.
    fn testnet(&self, command: &str) -> String {
        format!("{} testnet {command} --dir {}", quote(&self.program), quote(&self.place()))
    }

    /// Stops what runs there, if anything does.
    fn down(&self) -> String {
        // Where there is no `run`, nothing was ever started, and there may be no network.
        format!("{{ test ! -d {} || {}; }}", quote(&format!("{}/run", self.place())), self.testnet("down --if-up"))
    }

    /// Brings there what was packed.
    pub(super) fn copy(&self) -> String {
        let place = quote(&self.place());
        format!("{} < {}", self.on(&format!("mkdir -p {place} && tar -C {place} -xpof -")), self.archive())
    }

    /// Starts its nodes.
    pub(super) fn start(&self) -> String {
        let listen = self.listen.as_deref().map(bracketed);
        let listen = listen.map_or(String::new(), |listen| format!(" --listen {}", quote(&listen)));
        self.on(&(self.testnet("host") + &listen))
    }

    /// Does something to one of its nodes.
    pub(super) fn make(&self, deed: &str, node: &str) -> String {
        self.on(&format!("{} {}", self.testnet(deed), quote(node)))
    }

    /// Says what its nodes have used.
    pub(super) fn usage(&self) -> String {
        self.on(&self.testnet("usage"))
    }

    /// Stops its nodes.
    pub(super) fn stop(&self) -> String {
        self.on(&self.down())
    }

    /// Brings back what its nodes have written.
    pub(super) fn fetch(&self) -> String {
        let place = self.place();
        // Where its nodes have not got so far, there is less to bring back, but no error that hides why.
        let rooms = ["ledgers", "logs", "state"].map(|room| quote(&format!("{place}/{room}"))).join(" ");
        let pack = format!("mkdir -p {rooms} && tar -C {} -cf - ledgers logs state", quote(&place));
        format!("{} | tar -C net -xpof -", self.on(&pack))
    }

    /// Leaves nothing there, whatever an earlier run left; not even nodes that run.
    pub(super) fn clear(&self) -> String {
        self.on(&format!("{} && rm -rf {}", self.down(), quote(&self.place())))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, process::Command};

    use super::*;

    fn host() -> Host {
        Host {
            name: "anna".to_owned(),
            address: "192.0.2.1".to_owned(),
            listen: None,
            first_port: 7400,
            shell: vec!["sh".to_owned(), "-c".to_owned()],
            directory: "/var/tmp/h".to_owned(),
            program: "hippodrome".to_owned(),
            nodes: None,
        }
    }

    /// What a line says when it is run in a directory; it must end well.
    fn said(line: &str, dir: &Path) -> String {
        let output = Command::new("sh").args(["-c", line]).current_dir(dir).output().expect("there is a shell");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    #[test]
    fn words_are_read_back_as_they_were() {
        assert_eq!(quote("/usr/bin/it"), "/usr/bin/it");
        let place = tempfile::tempdir().expect("a directory");
        for word in
            ["", "plain", "two words", "it's", "'", "a\\b", "$HOME", "`id`", "a\nb", "*", "~", "a=b", "-n;", "é"]
        {
            assert_eq!(said(&format!("printf %s {}", quote(word)), place.path()), word);
            // Also by a shell behind a shell, as lines for hosts are.
            let behind = host().on(&format!("printf %s {}", quote(word)));
            assert_eq!(said(&behind, place.path()), word);
        }
    }

    #[test]
    fn a_host_gets_the_keys_of_its_own_nodes_and_no_others() {
        let place = tempfile::tempdir().expect("a directory");
        let net = place.path().join("net");
        for file in ["network.toml", "fronts.toml", "registry.txt", "seats/0000.key", "keys/coordinator.key"] {
            fs::create_dir_all(net.join(file).parent().expect("a parent")).expect("made");
            fs::write(net.join(file), file).expect("written");
        }
        (0..3).for_each(|id| fs::write(net.join(format!("keys/server-{id}.key")), "key").expect("written"));
        let packed = |nodes: &[&str]| {
            let host = host();
            let nodes = nodes.iter().map(|node| (*node).to_owned()).collect();
            said(&Placed { host: &host, nodes }.pack(), place.path());
            said("tar -tf hosts/anna.tar", place.path()).lines().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(packed(&["server-1"]), ["network.toml", "fronts.toml", "keys/server-1.key"]);
        let with_coordinator =
            ["network.toml", "fronts.toml", "registry.txt", "keys/coordinator.key", "keys/server-2.key"];
        assert_eq!(packed(&["coordinator", "server-2"]), with_coordinator);
    }

    #[test]
    fn what_is_brought_to_a_host_keeps_its_modes_and_goes_away_again() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().expect("a directory");
        let (net, there) = (place.path().join("net"), place.path().join("it's there"));
        fs::create_dir_all(net.join("keys")).expect("made");
        for file in ["network.toml", "fronts.toml", "keys/server-0.key"] {
            fs::write(net.join(file), "x").expect("written");
        }
        fs::set_permissions(net.join("keys/server-0.key"), fs::Permissions::from_mode(0o600)).expect("set");
        let host = Host { directory: there.to_str().expect("text").to_owned(), ..host() };
        let placed = Placed { host: &host, nodes: vec!["server-0".to_owned()] };
        [placed.pack(), host.copy()].iter().for_each(|line| drop(said(line, place.path())));
        let key = fs::metadata(there.join("experiment/keys/server-0.key")).expect("it is there");
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
        fs::write(there.join("letter.txt"), "of somebody else").expect("written");
        said(&host.clear(), place.path());
        let left: Vec<_> =
            fs::read_dir(&there).expect("a directory").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["letter.txt"]);
    }

    #[test]
    fn lines_name_the_program_the_place_and_where_to_listen() {
        let host = Host {
            program: "/opt/the program".to_owned(),
            listen: Some("::".to_owned()),
            shell: vec!["ssh".to_owned(), "anna".to_owned()],
            ..host()
        };
        let start =
            r"ssh anna ''\''/opt/the program'\'' testnet host --dir /var/tmp/h/experiment --listen '\''[::]'\'''";
        assert_eq!(host.start(), start);
        let host = Host { program: "hippodrome".to_owned(), ..host };
        assert_eq!(
            host.make("kill", "server-1"),
            "ssh anna 'hippodrome testnet kill --dir /var/tmp/h/experiment server-1'"
        );
    }
}
