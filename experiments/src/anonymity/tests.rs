use super::*;
use crate::preset::{Preset, Target};

/// Small, and quickly attacked.
fn ask() -> Settings {
    Settings {
        rounds: 25,
        game_rounds: 20,
        delta: 0.01,
        games: 3000,
        searches: 15,
        candidates: 8,
        long_rounds: 200,
        ..Settings::default()
    }
}

fn small() -> Point {
    Point { servers: 4, chains: 1, chain_len: 2, layers: 1, noise: 160, ..Point::default() }
}

fn look(point: &Point, ask: &Settings) -> Anonymity {
    of(point, ask, &Seed::master(1).of("anonymity", 0)).expect("a network that can be attacked")
}

fn variant(anonymity: &Anonymity, variant: Variant) -> &Attacked {
    anonymity.attacked.iter().find(|attacked| attacked.variant == variant).expect("it was attacked")
}

#[test]
fn planned_noise_never_shows_more_than_is_proved_whatever_the_network() {
    let guarantee = Some(Target { epsilon: 1.0, delta: 0.01, rounds: 20 });
    for point in [
        small(),
        Point { noise: 240, slots: 2, ..small() },
        Point { chains: 3, layers: 2, noise: 60, ..small() },
        Point { chains: 4, layers: 3, noise: 60, ..small() },
        Point { chains: 2, layers: 2, guarantee, ..small() },
        Point { verification: "none".into(), ..small() },
    ] {
        let found = look(&point, &ask());
        let (proved, planned) = (found.proved.game, variant(&found, Variant::Planned));
        assert!(proved.is_some_and(|proved| planned.found.shown <= proved), "{point:?}: {found:?}");
        assert_eq!(found.verdict(planned), Verdict::Within);
        assert!(!found.is_refuted());
    }
}

#[test]
fn what_shows_more_than_is_proved_is_said_to_be_broken_whoever_has_planned_it() {
    let mut anonymity = look(&small(), &ask());
    anonymity.proved.game = Some(0.0);
    anonymity.attacked[0].found.shown = 0.1;
    assert!(anonymity.is_refuted());
    assert!(anonymity.to_string().contains("**more than is proved: broken**"), "{anonymity}");
    anonymity.proved.game = None;
    assert!(!anonymity.is_refuted());
}

#[test]
fn broken_noise_is_found_out() {
    let sent = |mechanism, share, bits| Sent { mechanism, share, bits };
    let sent = vec![sent(Draw::Urn, 0.1, 6), sent(Draw::Poisson, 1.0, 6), sent(Draw::Coarse, 1.0, 2)];
    let point = Point { noise: 400, slots: 2, ..small() };
    let found = look(&point, &Settings { game_rounds: 60, sent, ..ask() });
    let verdicts: Vec<Verdict> = found.attacked.iter().map(|attacked| found.verdict(attacked)).collect();
    assert_eq!(verdicts, [Verdict::Within, Verdict::FoundOut, Verdict::FoundOut, Verdict::FoundOut], "{found:?}");
}

#[test]
fn nothing_is_proved_against_servers_that_cheat_where_nothing_is_verified() {
    let point = Point { chains: 6, layers: 2, noise: 20, verification: "none".into(), ..small() };
    let found = look(&point, &ask());
    assert_eq!(found.against, Adversary::Passive);
    let (planned, dropped) = (variant(&found, Variant::Planned), variant(&found, Variant::Dropped));
    assert!(dropped.found.shown_if_normal > planned.found.shown_if_normal, "{found:?}");
    assert_eq!(found.verdict(dropped), Verdict::NothingProved);
    assert_eq!(found.metric("epsilon_proved"), None);
    assert_eq!(found.metric("epsilon_passive"), found.proved.all.map(|epsilon| (epsilon, "")));
    assert_eq!(found.metric("epsilon_shown"), Some((dropped.found.shown, "")));
    let verified = look(&Point { verification: "aggregate".into(), ..point }, &ask());
    assert_eq!((verified.against, verified.attacked.len()), (Adversary::Active, 1));
    assert!(verified.metric("epsilon_proved").is_some());
}

#[test]
fn one_layer_without_proofs_hides_nothing_from_servers_that_cheat() {
    let found = look(&Point { verification: "none".into(), ..small() }, &ask());
    let dropped = variant(&found, Variant::Dropped);
    // As much as so many guesses can show: about ln 750 less 1.3.
    assert!((5.0..6.0).contains(&dropped.found.shown), "{dropped:?}");
    assert_eq!(dropped.found.accuracy, 1.0);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_others() {
    let point = Point { chains: 3, layers: 2, noise: 20, verification: "none".into(), ..small() };
    let ask = Settings { games: 40, sent: vec![Sent { mechanism: Draw::Coins, share: 0.5, bits: 6 }], ..ask() };
    let bytes = |seed| {
        let anonymity = of(&point, &ask, &Seed::master(seed)).expect("a network that can be attacked");
        serde_json::to_string(&anonymity).expect("plain values")
    };
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}

#[test]
fn odds_of_bad_chains_are_those_of_enumeration() {
    let (servers, corrupt, chain_len) = (7_u16, 3_u16, 2_u8);
    // Every chain of two of seven, of which the first three are corrupt.
    let chains: Vec<(u16, u16)> = (0..servers).flat_map(|a| (0..a).map(move |b| (b, a))).collect();
    let bad = chains.iter().filter(|(_, later)| *later < corrupt).count();
    let one = bad as f64 / chains.len() as f64;
    let point = Point { servers, chain_len, chains: 2, layers: 2, ..small() };
    let odds = |point: &Point, corrupt| network::compromise_odds(&params(point).expect("a network"), servers, corrupt);
    assert!((odds(&point, corrupt) / (4.0 * one) - 1.0).abs() < 1e-9, "{}", odds(&point, corrupt));
    assert_eq!(odds(&point, 1), 0.0, "one cannot be all of two");
    assert_eq!(odds(&point, servers), 1.0);
    let corrupt = |share: f64, servers| Settings { corrupt: share, ..ask() }.corrupt_servers(servers);
    assert_eq!([corrupt(0.2, 10), corrupt(0.2, 6), corrupt(0.0, 6), corrupt(0.1, 30)], [2, 2, 0, 3]);
}

const HEAD: &str = "name = \"t\"\ntitle = \"T\"\nabout = \"a\"\nseed = 1\nrepeats = 0\n";

#[test]
fn what_cannot_be_accounted_for_is_refused_with_its_place() {
    let said = |rest: &str| Preset::parse("t.toml", &format!("{HEAD}{rest}")).expect_err("refused").to_string();
    for (wrong, words) in [
        ("delta = 0.0", "anonymity.delta"),
        ("doubt = 1.0", "anonymity.doubt"),
        ("online = 2", "anonymity.online"),
        ("corrupt = 1.0", "anonymity.corrupt"),
        ("rounds = 0", "anonymity.rounds"),
        ("games = 3", "anonymity.games"),
        ("candidates = 1", "anonymity.candidates"),
        ("honest = 7", "anonymity.honest"),
        ("sent = [{ mechanism = \"urn\", share = 0.0 }]", "anonymity.sent.share"),
        ("sent = [{ mechanism = \"coarse\", bits = 25 }]", "anonymity.sent.bits"),
        ("sent = [{ mechanism = \"dice\" }]", "dice"),
        ("colour = 1", "line 7"),
    ] {
        let said = said(&format!("[anonymity]\n{wrong}\n"));
        assert!(said.contains(words) && said.contains("t.toml"), "{wrong}: {said}");
    }
    assert!(said("[point]\nnoise = 0\n[anonymity]\n").contains("`noise` is 0"));
    assert!(said("[point]\nchains = 300\n[anonymity]\n").contains("`chains` is 300"));
    assert!(Preset::parse("t.toml", &format!("{HEAD}[anonymity]\n")).is_ok());
}

#[test]
fn a_point_that_no_network_can_be_like_is_refused() {
    let refused = |point: &Point| of(point, &ask(), &Seed::master(1)).expect_err("no such network").to_string();
    assert!(refused(&Point { verification: "some".into(), ..small() }).contains("some"));
    assert!(refused(&Point { layers: 4, ..small() }).contains("layers"));
    let guarantee = Some(Target { epsilon: 1e-3, delta: 1e-6, rounds: 1_000_000 });
    assert!(refused(&Point { guarantee, ..small() }).contains("slots"));
}

#[test]
fn an_experiment_without_runs_has_its_tables_and_they_are_the_same_each_time() {
    let axes = "[point]\nservers = 4\nchains = 1\nlayers = 1\nchain_len = 2\nnoise = 160\n\
                [sweep.axes]\nverification = [\"full\", \"none\"]\n";
    let asked = "[anonymity]\nrounds = 20\ngame_rounds = 20\ndelta = 0.01\ngames = 2000\nsearches = 5\n\
                 long_rounds = 50\nsent = [{ mechanism = \"urn\", share = 0.1 }]\n\
                 [[figures]]\nname = \"f\"\ntitle = \"F\"\nx = \"epsilon_passive\"\nbeside = \"epsilon_shown\"\n\
                 y = \"entropy_bits\"\nseries = \"verification\"\n";
    let preset = Preset::parse("t", &format!("{HEAD}{axes}{asked}")).expect("a preset");
    let place = tempfile::tempdir().expect("a directory");
    let run = |name: &str| {
        let dir = place.path().join(name);
        let experiment = crate::experiment::Experiment::begin(&preset, &dir).expect("begun");
        let mut told = Vec::new();
        // No point has a run, so that no program is started.
        let programs = crate::live::Programs::new("/nonexistent".into(), None);
        experiment.run(&programs, |said| told.push(said.to_string())).expect("looked at");
        experiment.plot().expect("tables");
        let read = |path: std::path::PathBuf| std::fs::read_to_string(path).expect("a file");
        let files = ["anonymity.csv", "figures/f.csv", "figures/f.svg"].map(|file| read(dir.join(file)));
        (told, files, read(experiment.report().expect("a report")))
    };
    let ((told, files, report), again) = (run("a"), run("b"));
    assert_eq!((&told, &files), (&again.0, &again.1));
    assert_eq!(run("a").0, Vec::<String>::new(), "nobody looks twice");
    let [table, points, _] = &files;
    assert_eq!(table.lines().count(), 1 + 2 + 3, "{table}");
    let columns = |line: &str| line.split(',').count();
    assert!(table.lines().all(|line| columns(line) == columns(super::table::COLUMNS)), "{table}");
    assert!(table.contains("found-out") && table.contains("nothing-proved") && !table.contains("refuted"), "{table}");
    assert!(
        points.contains("\"full, ε against servers that only watch\"") && points.contains("\"none, ε shown\""),
        "{points}"
    );
    for words in ["## Anonymity", "within what is proved", "caught", "nothing is left", "servers that watch"] {
        assert!(report.contains(words), "no `{words}` in {report}");
    }
}
