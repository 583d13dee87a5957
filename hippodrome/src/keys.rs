//! `keys`: key files, and founding a network whose operators sit at different machines.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use hippodrome_core::{
    directory::DirectoryDraft,
    params::{BadParameter, NetworkParams},
};
use hippodrome_crypto::hash::hex;
use hippodrome_store::{
    config::{self, ConfigError},
    file::WriteError,
    key_file::{ClientKeys, CoordinatorKeys, KeyFileError, Kind, ServerKeys},
    network_file::{self, Incomplete, NetworkFile, NetworkFileError, SignError},
};

use crate::{
    founding::{Shape, ShapeError},
    testnet,
};

const FOUNDING: &str = "\
Founding a network, step by step:
  each server's operator       hippodrome keys server new --name anna --out server.key > anna.toml
  the coordinator's operator   hippodrome keys coordinator new --address 192.0.2.1:7400 --out coordinator.key \\
                                   > coordinator.toml
  one of them, with all texts  hippodrome keys params --name ours --servers 3 --chains 1 --layers 1 > params.toml
                               hippodrome keys draft --params params.toml --coordinator coordinator.toml \\
                                   --server anna.toml --server bert.toml --server carla.toml --out network.toml
  each server's operator       hippodrome keys sign --network network.toml --key server.key
  one of them                  hippodrome keys add --network network.toml SIGNATURE...
                               hippodrome keys verify network.toml
  each person                  hippodrome keys client new --name alice --out alice.key
                               (prints a line for the coordinator's registry file)";

/// Make key files, found a network, sign its directory and check it
#[derive(Args, Debug)]
#[command(after_help = FOUNDING)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Subcommand, Debug)]
enum KeysCommand {
    /// Keys of a mix server
    #[command(subcommand)]
    Server(ServerCommand),
    /// Keys of a coordinator
    #[command(subcommand)]
    Coordinator(CoordinatorCommand),
    /// Keys of a client
    #[command(subcommand)]
    Client(ClientCommand),
    /// Print the public half of a key file: what its owner hands out
    Show {
        /// The key file
        file: PathBuf,
        /// Where the coordinator will be reached, `host:port`; only for a coordinator's key file
        #[arg(long, value_parser = address)]
        address: Option<String>,
    },
    /// Print parameters for a network, to be put into a file and edited
    Params {
        /// A name for people
        #[arg(long, default_value = "hippodrome")]
        name: String,
        #[command(flatten)]
        shape: Shape,
    },
    /// Put parameters and public entries together to a network that nobody has signed yet
    Draft {
        /// Parameters (`keys params` prints some)
        #[arg(long, value_name = "FILE")]
        params: PathBuf,
        /// The coordinator's public entry
        #[arg(long, value_name = "FILE")]
        coordinator: PathBuf,
        /// A server's public entry; the order is that of the servers' numbers
        #[arg(long = "server", value_name = "FILE", required = true)]
        servers: Vec<PathBuf>,
        /// The network file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Sign a network file with a server's key: writes the signature into the file and prints it
    Sign {
        /// The network file
        #[arg(long, value_name = "FILE")]
        network: PathBuf,
        /// The server's key file
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Add signatures that `keys sign` printed on other machines
    Add {
        /// The network file
        #[arg(long, value_name = "FILE")]
        network: PathBuf,
        /// What `keys sign` printed
        #[arg(required = true)]
        signatures: Vec<String>,
    },
    /// Check a network file, and print its identity, its parameters and who has signed it
    Verify {
        /// The network file
        network: PathBuf,
    },
}

#[derive(Subcommand, Debug)]
enum ServerCommand {
    /// Make a key file, and print the public entry
    New(Named),
}

#[derive(Subcommand, Debug)]
enum ClientCommand {
    /// Make a key file, and print the line for the coordinator's registry file
    New(Named),
}

#[derive(Subcommand, Debug)]
enum CoordinatorCommand {
    /// Make a key file, and print the public entry
    New {
        /// The key file to write; it is never overwritten
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Where it will be reached, `host:port`
        #[arg(long, value_parser = address)]
        address: Option<String>,
    },
}

#[derive(Args, Debug)]
struct Named {
    /// The key file to write; it is never overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// A name for people
    #[arg(long)]
    name: String,
}

fn address(text: &str) -> Result<String, String> {
    crate::network_dir::parse_address(text).ok_or_else(|| "expected `host:port`, as in 192.0.2.1:7400".into())
}

/// Why a command about keys fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    #[error(transparent)]
    Key(#[from] KeyFileError),
    #[error(transparent)]
    Network(#[from] NetworkFileError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Parameter(#[from] BadParameter),
    #[error(transparent)]
    Shape(#[from] ShapeError),
    #[error("{}: {source}", path.display())]
    Sign { path: PathBuf, source: SignError },
    #[error("signature {number} is not what `keys sign` prints: expected 128 hexadecimal digits")]
    NoSignature { number: usize },
    #[error("{}: {source}", path.display())]
    Incomplete { path: PathBuf, source: Incomplete },
}

pub(crate) fn run(args: KeysArgs) -> Result<(), KeysError> {
    match args.command {
        KeysCommand::Server(ServerCommand::New(Named { out, name })) => {
            ServerKeys::generate(&name)?.create(&out)?;
            made(&out, None)
        }
        KeysCommand::Client(ClientCommand::New(Named { out, name })) => {
            ClientKeys::generate(&name)?.create(&out)?;
            made(&out, None)
        }
        KeysCommand::Coordinator(CoordinatorCommand::New { out, address }) => {
            CoordinatorKeys::generate()?.create(&out)?;
            made(&out, address.as_deref())
        }
        KeysCommand::Show { file, address } => show(&file, address.as_deref()),
        KeysCommand::Params { name, shape } => {
            print!("{}", config::print(&shape.params(&name, testnet::USUAL)?));
            Ok(())
        }
        KeysCommand::Draft { params, coordinator, servers, out } => draft(&params, &coordinator, &servers, &out),
        KeysCommand::Sign { network, key } => sign(&network, &key),
        KeysCommand::Add { network, signatures } => add(&network, &signatures),
        KeysCommand::Verify { network } => verify(&network),
    }
}

fn made(file: &Path, address: Option<&str>) -> Result<(), KeysError> {
    eprintln!("wrote {}: keep it secret; what follows is public", file.display());
    show(file, address)
}

/// Prints what the owner of a key file hands out.
fn show(file: &Path, address: Option<&str>) -> Result<(), KeysError> {
    // The file itself says whose it is.
    let server = match ServerKeys::load(file) {
        Err(KeyFileError::WrongKind { found: Kind::Client, .. }) => {
            let client = ClientKeys::load(file)?;
            println!("{} # {}", hex(client.public().as_bytes()), client.name());
            return Ok(());
        }
        Err(KeyFileError::WrongKind { found: Kind::Coordinator, .. }) => {
            print!("{}", network_file::coordinator_text(CoordinatorKeys::load(file)?.fingerprint(), address));
            return Ok(());
        }
        server => server?,
    };
    print!("{}", network_file::server_text(&server.public_entry()));
    Ok(())
}

fn draft(params: &Path, coordinator: &Path, servers: &[PathBuf], out: &Path) -> Result<(), KeysError> {
    let params: NetworkParams = config::load(params)?;
    params.check(servers.len())?;
    let (coordinator, address) = network_file::read_coordinator_entry(coordinator)?;
    let servers = servers.iter().map(|file| network_file::read_server_entry(file)).collect::<Result<Vec<_>, _>>()?;
    if out.exists() {
        return Err(NetworkFileError::Write(WriteError::Exists { path: out.to_owned() }).into());
    }
    let network = NetworkFile::new(DirectoryDraft { params, servers, coordinator: coordinator.0 }, address);
    network.save(out)?;
    eprintln!("wrote {}: each server's operator reads it and runs", out.display());
    eprintln!("    hippodrome keys sign --network {} --key server.key", out.display());
    println!("{}", network.draft().network_id());
    Ok(())
}

fn sign(path: &Path, key: &Path) -> Result<(), KeysError> {
    let mut network = NetworkFile::load(path)?;
    let signature =
        network.sign(&ServerKeys::load(key)?).map_err(|source| KeysError::Sign { path: path.to_owned(), source })?;
    network.save(path)?;
    eprintln!("signed network {} in {}", network.draft().network_id(), path.display());
    say_who_is_missing(&network);
    println!("{}", network_file::signature_text(&signature));
    Ok(())
}

fn add(path: &Path, signatures: &[String]) -> Result<(), KeysError> {
    let mut network = NetworkFile::load(path)?;
    for (number, text) in (1..).zip(signatures) {
        let signature = network_file::parse_signature(text).ok_or(KeysError::NoSignature { number })?;
        let server =
            network.add_signature(signature).map_err(|source| KeysError::Sign { path: path.to_owned(), source })?;
        println!("signed by {}", network.draft().servers[usize::from(server.0)].name);
    }
    network.save(path)?;
    say_who_is_missing(&network);
    Ok(())
}

fn say_who_is_missing(network: &NetworkFile) {
    match network.unsigned()[..] {
        [] => eprintln!("all servers have signed"),
        ref missing => eprintln!("not yet signed by {}", missing.join(", ")),
    }
}

fn verify(path: &Path) -> Result<(), KeysError> {
    let network = NetworkFile::load(path)?;
    let verified = network.verify();
    println!("network      {}", network.draft().network_id());
    println!("coordinator  {}", network.coordinator_address().unwrap_or("(no address)"));
    for (number, server) in network.draft().servers.iter().enumerate() {
        let signed = match network.unsigned().contains(&server.name.as_str()) {
            true => "has not signed",
            // Whose signature does not hold is in the error.
            false if verified.is_err() => "signature in the file",
            false => "signed",
        };
        println!("server {number:<6}{}, {signed}", server.name);
    }
    println!("\n{}", config::print(&network.draft().params).trim_end());
    verified.map(drop).map_err(|source| KeysError::Incomplete { path: path.to_owned(), source })
}
