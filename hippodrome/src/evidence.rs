//! `evidence`: what somebody has done, for everybody to check.

use std::{path::PathBuf, sync::Arc};

use clap::{Args, Subcommand};
use hippodrome_core::{
    directory::Directory,
    evidence::{Case, CaseError, Verdict},
    ids::Author,
};
use hippodrome_crypto::hash::hex;
use hippodrome_store::evidence_file::{self, EvidenceFileError};
use serde::Serialize;

use crate::network_dir::{NetworkDir, NetworkDirError, Node};

const EXAMPLES: &str = "\
Examples:
  hippodrome evidence verify round-17-server-3.evidence --network network.toml
  hippodrome evidence verify net/state/server-0/evidence/round-17-server-3.evidence --network net --json

Nodes keep evidence in `evidence` in their state directories. Nobody has to be believed: the file holds everything that
was signed, and the network file says by whom.";

/// Check evidence against somebody
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct EvidenceArgs {
    #[command(subcommand)]
    command: EvidenceCommand,
}

#[derive(Subcommand, Debug)]
enum EvidenceCommand {
    /// Say who is guilty, and of what; an error if the file convicts nobody
    Verify {
        /// The file of evidence
        file: PathBuf,
        /// The network's directory, or its network file
        #[arg(long, value_name = "DIR|FILE")]
        network: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Why nobody is convicted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EvidenceError {
    #[error(transparent)]
    Dir(#[from] NetworkDirError),
    #[error(transparent)]
    File(#[from] EvidenceFileError),
    #[error("{}: {source}", path.display())]
    Case { path: PathBuf, source: CaseError },
}

/// A verdict, as printed with `--json`.
#[derive(Debug, Serialize)]
struct Report {
    network: String,
    epoch: u64,
    round: u64,
    guilty: Vec<Guilty>,
    offence: String,
}

/// Who is guilty.
#[derive(Debug, Serialize)]
struct Guilty {
    /// `server-3`, or `client-17`.
    author: String,
    /// What the network file calls a server.
    name: Option<String>,
    /// Its signing key.
    key: Option<String>,
}

pub(crate) fn run(args: EvidenceArgs) -> Result<(), EvidenceError> {
    let EvidenceCommand::Verify { file, network, json } = args.command;
    let (_, network) = NetworkDir::find(&network)?;
    let case = evidence_file::load(&file)?;
    let directory = Arc::new(network.directory);
    let verdict = case.verify(&directory).map_err(|source| EvidenceError::Case { path: file, source })?;
    let report = report(&directory, &case, &verdict);
    if json {
        println!("{}", serde_json::to_string(&report).expect("a report has text keys and plain values"));
    } else {
        print_for_people(&report);
    }
    Ok(())
}

fn report(directory: &Directory, case: &Case, verdict: &Verdict) -> Report {
    let plan = &case.record.epoch.plan;
    let guilty = |author: &Author| match *author {
        Author::Server(server) => {
            let entry = directory.servers().get(usize::from(server.0));
            Guilty {
                author: Node::Server(server).to_string(),
                name: entry.map(|entry| entry.name.clone()),
                key: entry.map(|entry| hex(entry.key.as_bytes())),
            }
        }
        Author::Client(client) => Guilty {
            author: format!("client-{}", client.0),
            name: None,
            key: plan.registry.get(client.0 as usize).map(|key| hex(key.as_bytes())),
        },
    };
    Report {
        network: directory.id().to_string(),
        epoch: plan.number,
        round: case.round.0,
        guilty: verdict.guilty().iter().map(guilty).collect(),
        offence: verdict.offence().to_string(),
    }
}

fn print_for_people(report: &Report) {
    println!("network  {}", report.network);
    println!("round    {}, in epoch {}", report.round, report.epoch);
    for Guilty { author, name, key } in &report.guilty {
        let name = name.as_ref().filter(|name| *name != author).map_or_else(String::new, |name| format!(" ({name})"));
        let key = key.as_ref().map_or_else(String::new, |key| format!(", key {key}"));
        println!("guilty   {author}{name}{key}");
    }
    println!("of       {}", report.offence);
}
