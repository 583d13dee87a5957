//! Tables of what is proved and shown, for programs and for people.

use super::{Adversary, Anonymity, Attacked, Settings, Variant};
use crate::{
    results::{OfPoint, Results},
    text::put,
};

/// Columns of [`csv`].
pub(super) const COLUMNS: &str = "point,label,variant,sent,slots,shape,honest,against,rounds,delta,epsilon_proved,\
                                  epsilon_mailboxes,epsilon_round,game_rounds,epsilon_game,games,doubt,epsilon_shown,\
                                  epsilon_shown_if_normal,accuracy,verdict,candidates_bits,entropy_bits,rank,\
                                  intersection_rounds,intersection_longer,intersection_first,compromise_odds\n";

/// Points with what is known of their anonymity.
fn known(results: &Results) -> impl Iterator<Item = (&OfPoint, &Anonymity)> {
    results.points.iter().filter_map(|of| Some((of, of.anonymity.as_ref()?)))
}

/// One line for each point and each noise that was attacked; none if the preset asks for nothing.
/// `docs/experiments.md` says what each column is.
pub fn csv(results: &Results) -> Option<String> {
    let ask = results.preset.anonymity.as_ref()?;
    let mut text = COLUMNS.to_owned();
    for (of, anonymity) in known(results) {
        for attacked in &anonymity.attacked {
            line(&mut text, of, ask, anonymity, attacked);
        }
    }
    Some(text)
}

fn line(text: &mut String, of: &OfPoint, ask: &Settings, anonymity: &Anonymity, attacked: &Attacked) {
    let Anonymity { honest, slots, shape, proved, compromise_odds, .. } = anonymity;
    let Attacked { variant, sent, found } = attacked;
    let is_proved = *variant != Variant::Dropped;
    let against = if is_proved { anonymity.against } else { Adversary::Active };
    let epsilon = |epsilon: Option<f64>| number(epsilon.filter(|_| is_proved));
    put(text, format_args!("{},{},", of.numbered.number, of.numbered.label));
    put(text, format_args!("{},\"{sent}\",{slots},{shape},{honest},{},", variant.name(), against.name()));
    put(text, format_args!("{},{:e},{},", ask.rounds, ask.delta, epsilon(proved.all)));
    put(text, format_args!("{},{},", epsilon(proved.mailboxes), epsilon(proved.round)));
    put(text, format_args!("{},{},{},{},", ask.game_rounds, epsilon(proved.game), ask.games, ask.doubt));
    put(text, format_args!("{:.6},{:.6},{:.6},", found.shown, found.shown_if_normal, found.accuracy));
    put(text, format_args!("{},{:.6},", anonymity.verdict(attacked).name(), f64::from(ask.candidates).log2()));
    let whom = found.whom;
    put(text, format_args!("{},{},", number(whom.map(|it| it.entropy_bits)), number(whom.map(|it| it.rank))));
    match found.intersection {
        Some(it) => put(text, format_args!("{},{},{:.6},", it.rounds, it.is_longer, it.first)),
        None => text.push_str(",,,"),
    }
    put(text, format_args!("{compromise_odds:e}\n"));
}

fn number(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| format!("{value:.6}"))
}

/// The section of the report; nothing if nothing is known.
pub fn report(results: &Results) -> String {
    let Some(ask) = results.preset.anonymity.as_ref().filter(|_| known(results).next().is_some()) else {
        return String::new();
    };
    let mut text = "\n## Anonymity\n\n".to_owned();
    refuted(&mut text, results);
    proved_and_shown(&mut text, results, ask);
    whom_and_when(&mut text, results, ask);
    text
}

/// Said before everything else.
fn refuted(text: &mut String, results: &Results) {
    for (of, _) in known(results).filter(|(_, anonymity)| anonymity.is_refuted()) {
        let label = &of.numbered.label;
        let said = "noise as planned shows more than is proved of it. Trust neither until it is known why";
        put(text, format_args!("**{label}: {said}.**\n\n"));
    }
}

fn proved_and_shown(text: &mut String, results: &Results, ask: &Settings) {
    let Settings { rounds, delta, doubt, games, game_rounds, .. } = ask;
    put(
        text,
        format_args!(
            "ε with δ = {delta:e}: proved from above, and shown from below by somebody who guesses in {games} games \
             whether there was talk, with {:.0} % confidence. Of what is proved with several chains, the part of links \
             between chains rests on simulation. Where nothing is verified, what is proved holds against servers that \
             only watch; those that cheat drop noise, in rounds that are lost and blamed on nobody.\n\n\
             | point | noise | of each server | against | proved, {rounds} rounds | one round | {game_rounds} rounds \
             | shown, {game_rounds} rounds | if normal | verdict |\n|---|---|---|---|---|---|---|---|---|---|\n",
            100.0 * (1.0 - doubt)
        ),
    );
    for (of, anonymity) in known(results) {
        for attacked in &anonymity.attacked {
            proved_and_shown_line(text, of, anonymity, attacked);
        }
    }
}

fn proved_and_shown_line(text: &mut String, of: &OfPoint, anonymity: &Anonymity, attacked: &Attacked) {
    let Attacked { variant, sent, found } = attacked;
    let proved = &anonymity.proved;
    let against = match (variant, anonymity.against) {
        (Variant::Dropped, _) | (_, Adversary::Active) => "servers that cheat",
        (_, Adversary::Passive) => "servers that watch",
    };
    let epsilon = |epsilon: Option<f64>| match (variant, epsilon) {
        (Variant::Dropped, _) => "nothing".to_owned(),
        (_, None) => "no finite ε".to_owned(),
        (_, Some(epsilon)) => format!("{epsilon:.3}"),
    };
    put(text, format_args!("| {} | {} | {sent} | {against} |", of.numbered.label, variant.name()));
    put(text, format_args!(" {} | {} | {} |", epsilon(proved.all), epsilon(proved.round), epsilon(proved.game)));
    let verdict = anonymity.verdict(attacked);
    put(text, format_args!(" {:.3} | {:.3} | {verdict} |\n", found.shown, found.shown_if_normal));
}

fn whom_and_when(text: &mut String, results: &Results, ask: &Settings) {
    let Settings { candidates, game_rounds, online, long_rounds, corrupt, .. } = ask;
    put(
        text,
        format_args!(
            "\nWith whom of {candidates} people somebody talks: bits that are left after {game_rounds} rounds in which \
             all are there; rounds until the partner is first and stays so in half of the games, if people are there \
             with a chance of {online}, in {long_rounds} rounds. And the odds that a draw of chains has one without an \
             honest server, if {:.0} % of the servers are corrupt.\n\n\
             | point | noise | left of {:.2} bits | partner found after | odds of a bad chain |\n\
             |---|---|---|---|---|\n",
            100.0 * corrupt,
            f64::from(*candidates).log2()
        ),
    );
    for (of, anonymity) in known(results) {
        for Attacked { variant, sent, found } in &anonymity.attacked {
            let left = found.whom.map_or("–".to_owned(), |whom| format!("{:.2}", whom.entropy_bits));
            let after = found.intersection.map_or("–".to_owned(), |it| match it.is_longer {
                true => format!("not within {} rounds", it.rounds),
                false => format!("{} rounds", it.rounds),
            });
            let (label, name) = (&of.numbered.label, variant.name());
            let odds = match anonymity.compromise_odds {
                0.0 => "none".to_owned(),
                odds => format!("{odds:.2e}"),
            };
            put(text, format_args!("| {label} | {name}: {sent} | {left} | {after} | {odds} |\n"));
        }
    }
}
