//! The `hippodrome` binary.

use std::{
    env,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use crate::TrialError;

const NAME: &str = "hippodrome";

/// The binary that is tried.
#[derive(Clone, Debug)]
pub struct Binary(PathBuf);

impl Binary {
    /// A binary by its path; without one, that beside the running program, which is built first where cargo runs the
    /// program: cargo does not know that the one needs the other.
    pub fn locate(path: Option<PathBuf>) -> Result<Self, TrialError> {
        let path = match path {
            Some(path) => path,
            None => beside(NAME)?,
        };
        if path.is_file() { Ok(Self(path)) } else { Err(TrialError::NoBinary(path)) }
    }

    /// A command of the binary, which logs as it does by default, whatever the environment says.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(&self.0);
        command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }

    /// Runs a command to its end, which must be good; gives what it printed.
    pub fn run(&self, arguments: &[&OsStr]) -> Result<String, TrialError> {
        let words = || arguments.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let output = self
            .command(arguments)
            .output()
            .map_err(|source| TrialError::Process { what: format!("cannot run `hippodrome {}`", words()), source })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(TrialError::Failed { command: words(), said });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// The path of a program of this workspace in the directory into which cargo built the running one.
pub fn beside(name: &str) -> Result<PathBuf, TrialError> {
    let no_path = |source| TrialError::Process { what: "cannot tell where this program is".into(), source };
    let own = env::current_exe().map_err(no_path)?;
    let directory = own.parent().ok_or_else(|| no_path(io::ErrorKind::NotFound.into()))?;
    // Test programs are one directory below.
    let directory = if directory.ends_with("deps") { directory.parent().unwrap_or(directory) } else { directory };
    if let Some(cargo) = env::var_os("CARGO") {
        build(&cargo)?;
    }
    Ok(directory.join(name))
}

/// Builds the binary as the running program was built; threads of one program take turns, and there is little to do for
/// the later ones.
fn build(cargo: &OsStr) -> Result<(), TrialError> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // With the tests of the workspace its binary is built too, and with the same features: after `cargo test --workspace`
    // there is nothing left to do.
    const FOR_TESTS: &[&str] = &["test", "--workspace", "--no-run", "--quiet", "--test", "binary"];
    const FOR_USE: &[&str] = &["build", "--release", "--quiet", "--package", NAME];
    let arguments = if cfg!(debug_assertions) { FOR_TESTS } else { FOR_USE };
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    // What cargo says about this package to this program is not true of the packages that are built now; build scripts
    // that look at it would be run again.
    let own = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter(|name| own.iter().any(|own| name.starts_with(own))).for_each(|name| {
        command.env_remove(name);
    });
    let ended = command.status().map_err(|source| TrialError::Process { what: "cannot run cargo".into(), source })?;
    if ended.success() { Ok(()) } else { Err(TrialError::Build(ended)) }
}
