//! Logs: to standard error, and about nobody who uses the network.

use std::io::{self, IsTerminal};

use clap::{Args, ValueEnum};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, filter_fn},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Where logs of a level come from.
const VARIABLE: &str = "RUST_LOG";

/// How much is logged, and in which form.
#[derive(Args, Clone, Debug)]
pub(crate) struct LogArgs {
    /// What to log to standard error: error, warn, info, debug, trace or off, or directives as in RUST_LOG
    #[arg(long, global = true, value_name = "FILTER", help_heading = "Logs", value_parser = filter)]
    log: Option<String>,
    /// Form of the log's lines: for people, or one JSON object for each
    #[arg(long, global = true, value_enum, default_value_t = Format::Human, help_heading = "Logs")]
    log_format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Human,
    Json,
}

fn filter(text: &str) -> Result<String, String> {
    match EnvFilter::builder().parse(text) {
        Ok(_) if !text.trim().is_empty() => Ok(text.to_owned()),
        _ => Err("expected a level such as `info`, or `target=level` with commas between".into()),
    }
}

/// `RUST_LOG` is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("{VARIABLE}: {0}")]
pub(crate) struct BadVariable(String);

/// Installs the log of this process; `default` is the level if neither `--log` nor the environment says another.
pub(crate) fn install(args: &LogArgs, default: &str) -> Result<(), BadVariable> {
    let variable = std::env::var(VARIABLE).ok().filter(|value| !value.is_empty());
    let variable = variable.map(|value| filter(&value)).transpose().map_err(BadVariable)?;
    let wanted = args.log.clone().or(variable).unwrap_or_else(|| default.to_owned());
    Registry::default().with(lines(args.log_format).with_filter(own().and(EnvFilter::new(wanted)))).init();
    Ok(())
}

fn lines(format: Format) -> Box<dyn Layer<Registry> + Send + Sync> {
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false);
    match format {
        Format::Human => lines.compact().with_ansi(io::stderr().is_terminal()).boxed(),
        Format::Json => lines.json().with_target(true).flatten_event(true).boxed(),
    }
}

/// Only what our own crates log: libraries for transport log addresses of whoever connects, users included.
fn own() -> impl tracing_subscriber::layer::Filter<Registry> {
    filter_fn(|metadata| metadata.target().split("::").next().is_some_and(|name| name.starts_with("hippodrome")))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use tracing::Subscriber;
    use tracing_subscriber::layer::Context;

    use super::*;

    struct Count(Arc<AtomicUsize>);

    impl<S: Subscriber> Layer<S> for Count {
        fn on_event(&self, _: &tracing::Event<'_>, _: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_libraries_log_never_gets_through() {
        let seen = Arc::new(AtomicUsize::new(0));
        let everything = own().and(EnvFilter::new("trace"));
        let subscriber = Registry::default().with(Count(Arc::clone(&seen)).with_filter(everything));
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(target: "h2::server", "connection from 192.0.2.1");
            tracing::error!(target: "tonic", "connection from 192.0.2.1");
            assert_eq!(seen.load(Ordering::Relaxed), 0);
            tracing::trace!(target: "hippodrome_mixnode::run", "round 1");
            assert_eq!(seen.load(Ordering::Relaxed), 1);
        });
    }

    #[test]
    fn filters_are_levels_or_directives() {
        for good in ["info", "off", "hippodrome_mixnode=debug,warn"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for wrong in ["", "a=b=c", "info,=,"] {
            assert!(filter(wrong).is_err(), "{wrong}");
        }
    }
}
