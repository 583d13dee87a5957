//! What settings and metrics are called in figures.

/// Those that have other words for people than for columns, by their names there.
const WORDS: &[(&str, &str)] = &[
    ("chain_len", "servers in a chain"),
    ("chains", "chains in each layer"),
    ("clients_cpu", "CPU time of all clients"),
    ("compromise_odds", "odds of a bad chain"),
    ("coordinator_cpu", "CPU time of the coordinator"),
    ("detection", "until there is evidence"),
    ("detection_rounds", "with cheating until there is evidence"),
    ("entropy_bits", "what is left to guess of the partner"),
    ("epsilon_passive", "ε against servers that only watch"),
    ("epsilon_proved", "ε proved"),
    ("epsilon_shown", "ε shown"),
    ("epsilon_shown_if_normal", "ε shown if the loss is normal"),
    ("intersection_rounds", "until the partner is found"),
    ("latency_first", "latency, first client"),
    ("latency_last", "latency, last client"),
    ("latency_median", "latency, median client"),
    ("link.delay_ms", "one-way delay of links"),
    ("messages_per_s", "messages of all clients"),
    ("noise", "noise of a server in a chain"),
    ("out", "until rounds go on without the node"),
    ("period_ms", "from round to round"),
    ("recovery", "until all is well again"),
    ("rounds_lost", "lost"),
    ("server_peak_memory", "memory of a server"),
    ("servers_cpu", "CPU time of all servers"),
    ("servers_cpu_per_record", "CPU time of all servers for a record"),
    ("servers_sent", "sent by all servers"),
    ("slots", "messages of a client"),
    ("text_delay", "by which a text is late"),
    ("texts_late", "late"),
    ("texts_lost", "lost"),
];

/// The name of a setting or metric, for people.
pub(crate) fn of(name: &str) -> String {
    let known = WORDS.iter().find(|(known, _)| *known == name);
    known.map_or_else(|| name.replace('_', " "), |(_, words)| (*words).to_owned())
}

/// The unit of a setting that has it in its name.
pub(crate) fn unit(setting: &str) -> &'static str {
    if setting.ends_with("_ms") { "ms" } else { "" }
}

/// A label for what several of them have in common along one axis, and its unit.
pub(crate) fn of_all(names: &[&str], unit: &str) -> (String, String) {
    match (names, unit) {
        ([_, _, ..], "ms" | "s") => ("time".to_owned(), unit.to_owned()),
        ([_, _, ..], unit) if !unit.is_empty() => (unit.to_owned(), String::new()),
        _ => (names.iter().map(|name| of(name)).collect::<Vec<_>>().join(" or "), unit.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_words_and_several_share_their_unit() {
        assert_eq!([of("epsilon_proved"), of("part_mix")], ["ε proved", "part mix"]);
        assert_eq!(of_all(&["recovery"], "ms"), ("until all is well again".into(), "ms".into()));
        assert_eq!(of_all(&["recovery", "detection"], "ms"), ("time".into(), "ms".into()));
        assert_eq!(of_all(&["rounds_lost", "text_delay"], "rounds"), ("rounds".into(), String::new()));
        assert_eq!(of_all(&["epsilon_proved", "epsilon_shown"], "").0, "ε proved or ε shown");
        assert_eq!([unit("period_ms"), unit("clients")], ["ms", ""]);
    }

    #[test]
    fn names_are_sorted_and_there_once() {
        assert!(WORDS.is_sorted_by(|(one, _), (next, _)| one < next));
    }
}
