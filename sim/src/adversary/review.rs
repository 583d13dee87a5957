//! The findings of the protocol's review, each with the cheats that mount it, and with what the machines have no part in.

use super::cheat::{CHEATS, Cheat};

/// A finding of the review.
#[derive(Clone, Copy, Debug)]
pub struct Finding {
    /// Its number, as `F1`.
    pub name: &'static str,
    /// What an adversary would do.
    pub threat: &'static str,
    /// What of it no message between machines can show, and where it is shown instead.
    pub elsewhere: &'static str,
    /// Tests of that.
    pub tests: &'static [&'static str],
}

impl Finding {
    /// The cheats that mount it.
    pub fn cheats(&self) -> impl Iterator<Item = &'static Cheat> + use<> {
        let name = self.name;
        CHEATS.iter().filter(move |cheat| cheat.attack == name)
    }

    /// The finding as a row of a table: name, threat, cheats, what else there is to it, tests of that.
    pub fn row(&self) -> String {
        let quoted = |names: Vec<&str>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let cheats = quoted(self.cheats().map(|cheat| cheat.name).collect());
        let tests = quoted(self.tests.to_vec());
        format!("| {} | {} | {cheats} | {} | {tests} |", self.name, self.threat, self.elsewhere)
    }
}

/// All findings, in order.
pub static FINDINGS: &[Finding] = &[
    Finding {
        name: "F1",
        threat: "choose the topology: grind the seed, evict, redraw",
        elsewhere: "how many draws there may be is a rule of a plan by itself",
        tests: &[
            "a_share_is_revealed_once_and_only_against_the_own_commitment_in_its_place",
            "draws_are_counted_and_one_too_many_is_refused",
            "no_server_stands_better_than_before_and_the_struck_are_out_for_twice_as_long_each_time",
        ],
    },
    Finding {
        name: "F2",
        threat: "have an honest server act twice",
        elsewhere: "an honest server that dies inside a round: every scenario with crashes checks its acts",
        tests: &[
            "whatever_is_repeated_to_a_server_that_restarted_it_acts_once",
            "keys_are_never_kept_when_a_predecessor_changes",
        ],
    },
    Finding {
        name: "F3",
        threat: "have something released before everything upstream is known to be right",
        elsewhere: "",
        tests: &["nothing_leaves_any_hop_before_all_servers_have_confirmed_all_inputs"],
    },
    Finding {
        name: "F4",
        threat: "have a record opened whose key is related to another's",
        elsewhere: "",
        tests: &["a_related_key_cannot_be_vouched_for_with_what_others_have_signed"],
    },
    Finding { name: "F5", threat: "have an original opened by a copy of it", elsewhere: "", tests: &[] },
    Finding { name: "F6", threat: "strip the noise, or have it named", elsewhere: "", tests: &[] },
    Finding { name: "F7", threat: "frame a client, or drop it without a trace", elsewhere: "", tests: &[] },
    Finding {
        name: "F8",
        threat: "announce rounds that jump, repeat or come late",
        elsewhere: "a client's own clock and marks",
        tests: &[
            "a_round_far_ahead_of_the_clock_gets_no_keys",
            "a_server_that_is_told_too_late_neither_begins_nor_goes_on",
            "refuses_to_go_back_beyond_the_clock_or_too_far_and_stays_where_it_was",
        ],
    },
    Finding {
        name: "F9",
        threat: "read two messages under one key, or send one back to its author",
        elsewhere: "keys and mailboxes are between two clients; no server has a part in them",
        tests: &[
            "both_sides_meet_and_the_directions_share_no_key",
            "every_round_lane_and_network_has_its_own_ids_and_keys",
            "its_own_frame_coming_back_is_an_absent_partner",
        ],
    },
    Finding {
        name: "F10",
        threat: "see a destination in what a client downloads; switch the verification off",
        elsewhere: "a client takes the same bytes whatever it will send: `observed`; the mode is in the network's id",
        tests: &["a_descriptor_binds_its_amendment_and_has_keys_of_open_chains_only"],
    },
    Finding { name: "F11", threat: "drop records that nobody misses", elsewhere: "", tests: &[] },
    Finding {
        name: "F12",
        threat: "garble, withhold or pick replies",
        elsewhere: "",
        tests: &["wrong_replies_are_replaced_whole_and_the_client_sees_where_they_broke"],
    },
    Finding {
        name: "F13",
        threat: "as a contact, see when the other one talks to somebody else",
        elsewhere: "every contact has rounds of its own, used or not: a rule of the client; `observed` compares lines",
        tests: &["what_one_has_to_say_moves_no_mailbox_and_no_size", "only_the_rounds_of_the_schedule_are_turns"],
    },
    Finding {
        name: "F14",
        threat: "have rounds fail to see more samples of the noise",
        elsewhere: "no message is wrong in it: the privacy accounting counts every round that was submitted to",
        tests: &[],
    },
    Finding {
        name: "F15",
        threat: "cheat in all rounds in flight before the first is over",
        elsewhere: "every cheat goes on for two rounds, which overlap, and what a holder of evidence still does is looked at after each step",
        tests: &["a_contradiction_after_the_round_is_closed_holds_back_only_the_chains_of_the_liar"],
    },
    Finding { name: "F16", threat: "stop the network by silence, lies or floods", elsewhere: "", tests: &[] },
    Finding {
        name: "F17",
        threat: "use the weaker modes of verification",
        elsewhere: "every cheat is mounted in networks with aggregate proofs too; `none` promises nothing",
        tests: &["in_an_aggregate_network_no_member_signs_an_entry_that_nobody_vouches_for"],
    },
    Finding {
        name: "F18",
        threat: "drop records after the last honest mix, where no proof is checked",
        elsewhere: "it shows nobody anything; there, noise and replies guard the records of others: F11, F12",
        tests: &[],
    },
    Finding {
        name: "F19",
        threat: "learn who is called from a dialing service",
        elsewhere: "there is none: contacts begin with an invite that people pass on themselves",
        tests: &[],
    },
    Finding {
        name: "F20",
        threat: "take the place of an invited one",
        elsewhere: "an invite is between two clients; no server has a part in it",
        tests: &[
            "a_second_acceptor_voids_the_invite_for_the_inviter",
            "a_borrowed_name_on_either_side_gives_different_roots",
            "a_leaked_code_opens_nothing_of_the_conversation",
        ],
    },
    Finding {
        name: "F21",
        threat: "record today and compute tomorrow; corrupt servers after the draw",
        elsewhere: "limits that the notes state; nothing that a machine could refuse",
        tests: &[],
    },
];
