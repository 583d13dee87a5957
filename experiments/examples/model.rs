//! Measures what rounds take on this machine, and draws all figures from the costs that were kept:
//!
//!     cargo run --release -p hippodrome-experiments --example model -- costs > costs.toml
//!     cargo run --release -p hippodrome-experiments --example model -- figures costs.toml drawn

use std::{env, error::Error, fs, path::Path};

use hippodrome_experiments::{
    figures,
    model::{Costs, Effort},
};

/// What is noted with the costs.
const COMMAND: &str = "cargo run --release -p hippodrome-experiments --example model -- costs";

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["costs"] => print!("{}", Costs::measure(Effort::USUAL, COMMAND)?.to_toml()),
        ["figures", costs, directory] => draw(costs, Path::new(directory))?,
        _ => return Err("expected `costs`, or `figures COSTS DIRECTORY`".into()),
    }
    Ok(())
}

fn draw(costs: &str, directory: &Path) -> Result<(), Box<dyn Error>> {
    let costs = Costs::from_toml(&fs::read_to_string(costs)?)?;
    fs::create_dir_all(directory)?;
    for figure in figures::all(&costs)? {
        let file = directory.join(&figure.name);
        fs::write(file.with_extension("svg"), figure.svg()?)?;
        fs::write(file.with_extension("csv"), figure.csv())?;
        println!("{}", file.with_extension("svg").display());
    }
    Ok(())
}
