//! What a line of input means.

/// A line of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input<'a> {
    Nothing,
    Invite,
    Accept(&'a str),
    History,
    Status,
    Overspend,
    Help,
    Quit,
    Say(&'a str),
    /// A command with too much or too little behind it.
    Misused(&'static str),
}

pub(super) const HELP: &str = "\
invite         make a code for somebody to talk to
accept CODE    take somebody's code
history        show all texts
status         show how things stand
overspend      talk on when the network's guarantee is used up, without one
help           show this
quit           stop; texts that are not delivered wait for the next time
say TEXT       send TEXT, also if it begins like a command
anything else  is sent to your partner";

/// Reads a line without its line break.
pub(super) fn parse(line: &str) -> Input<'_> {
    let line = line.trim();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let alone = |input| if rest.is_empty() { input } else { Input::Say(line) };
    match word {
        "" => Input::Nothing,
        "accept" if rest.is_empty() => {
            Input::Misused("`accept` needs the code that the other person's `invite` printed")
        }
        "accept" => Input::Accept(rest),
        "say" if rest.is_empty() => Input::Misused("`say` needs a text"),
        "say" => Input::Say(rest),
        // Only alone on a line: most sentences that begin with these words are sentences.
        "invite" => alone(Input::Invite),
        "history" => alone(Input::History),
        "status" => alone(Input::Status),
        "overspend" => alone(Input::Overspend),
        "help" => alone(Input::Help),
        "quit" => alone(Input::Quit),
        _ => Input::Say(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_commands_and_everything_else_is_text() {
        assert_eq!(parse("  "), Input::Nothing);
        assert_eq!(parse("invite\r"), Input::Invite);
        assert_eq!(parse(" accept  hippo1-abc "), Input::Accept("hippo1-abc"));
        assert_eq!(parse("quit"), Input::Quit);
        assert_eq!(parse("overspend"), Input::Overspend);
        assert_eq!(parse("overspend no more"), Input::Say("overspend no more"));
        assert_eq!(parse("hello there"), Input::Say("hello there"));
        assert_eq!(parse("invite me to dinner"), Input::Say("invite me to dinner"));
        assert_eq!(parse("say quit"), Input::Say("quit"));
        assert_eq!(parse("say accept nothing"), Input::Say("accept nothing"));
        assert!(matches!(parse("accept"), Input::Misused(_)));
        assert!(matches!(parse("say "), Input::Misused(_)));
    }
}
