//! A short trial of faults.

use std::time::Duration;

use hippodrome_trials::{
    binary::Binary,
    faults::{self, Options, Schedule},
};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn a_fault_of_each_kind_costs_rounds_and_no_text() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let options = Options {
        dir: place.path().join("net"),
        period: Duration::from_millis(500),
        seed: 1,
        schedule: Schedule { frozen: Duration::from_secs(1), ..Schedule::SHORT },
        patience: PATIENCE,
        return_patience: PATIENCE,
        shape: ["--noise", "2"].map(str::to_owned).to_vec(),
    };
    let binary = Binary::locate(None).expect("the binary of this workspace");
    let report = faults::run(&binary, &options, |_| {}).expect("a trial");
    assert!(report.is_good(), "{report}");
    assert!(report.texts_delivered > 0, "{report}");
}
