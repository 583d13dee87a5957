//! The programs that runs are made of.

use std::{collections::BTreeSet, path::PathBuf};

use super::{LiveError, trouble};
use crate::preset::{Point, Trouble};

/// The programs that runs are made of.
#[derive(Clone, Debug)]
pub struct Programs {
    /// Everything but servers that cheat.
    pub hippodrome: PathBuf,
    /// A server that cheats; no product has it in it.
    pub mutant: PathBuf,
}

impl Programs {
    /// With the mutant where it is said to be, or else in the program's own directory.
    pub fn new(hippodrome: PathBuf, mutant: Option<PathBuf>) -> Self {
        let mutant = mutant.unwrap_or_else(|| hippodrome.with_file_name("mutant"));
        Self { hippodrome, mutant }
    }

    /// Whether there are programs for these points.
    ///
    /// # Errors
    /// [`LiveError::NoMutant`] and [`LiveError::UnknownCheat`] where a server is to cheat.
    pub fn check<'a>(&self, points: impl Iterator<Item = &'a Point>) -> Result<(), LiveError> {
        let cheats = points.filter_map(|point| point.trouble.as_ref().and_then(Trouble::cheat));
        let wanted: BTreeSet<&str> = cheats.map(|(_, cheat)| cheat).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let known = trouble::cheats(&self.mutant)?;
        match wanted.into_iter().find(|cheat| !known.iter().any(|name| name == cheat)) {
            Some(unknown) => Err(LiveError::UnknownCheat { cheat: unknown.to_owned(), known: known.join(", ") }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_mutant_is_wanted_only_where_a_server_cheats() {
        let programs = Programs::new("/nowhere/hippodrome".into(), None);
        assert_eq!(programs.mutant, Path::new("/nowhere/mutant"));
        let kill = Trouble::Kill { node: "server-0".into() };
        let honest = [Point::default(), Point { trouble: Some(kill), ..Point::default() }];
        assert!(programs.check(honest.iter()).is_ok());
        let cheat = Trouble::Cheat { node: "server-0".into(), cheat: "two-vectors".into() };
        let said = programs.check([Point { trouble: Some(cheat), ..Point::default() }].iter());
        let said = said.expect_err("there is no such program").to_string();
        assert!(
            said.contains("/nowhere/mutant") && said.contains("cargo build --release -p hippodrome-trials"),
            "{said}"
        );
    }
}
