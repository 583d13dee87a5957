//! Mailboxes: where two accesses meet, they swap contents.

use std::collections::HashMap;

use hippodrome_crypto::records::Records;

use crate::wire::{FRAME_LEN, MAILBOX_LEN};

/// Replies to the accesses of a batch, in its order: the first two accesses of a mailbox get each other's content, all
/// others their own.
pub(crate) fn exchange(accesses: &Records) -> Records {
    let mut visitors: HashMap<&[u8], Visitors> = HashMap::with_capacity(accesses.len());
    for (index, access) in accesses.iter().enumerate() {
        let visitors = visitors.entry(&access[..MAILBOX_LEN]).or_default();
        match visitors {
            Visitors::None => *visitors = Visitors::One(index),
            Visitors::One(first) => *visitors = Visitors::Two(*first, index),
            Visitors::Two(..) => {}
        }
    }
    let mut replies = Records::with_capacity(FRAME_LEN, accesses.len());
    for (index, access) in accesses.iter().enumerate() {
        let partner = visitors[&access[..MAILBOX_LEN]].partner_of(index);
        replies.push(&accesses.record(partner)[MAILBOX_LEN..]);
    }
    replies
}

/// How many mailboxes were accessed once, twice, and more often.
pub(crate) fn occupancy(accesses: &Records) -> [usize; 3] {
    let mut visits: HashMap<&[u8], usize> = HashMap::with_capacity(accesses.len());
    accesses.iter().for_each(|access| *visits.entry(&access[..MAILBOX_LEN]).or_default() += 1);
    visits.values().fold([0; 3], |mut counts, visits| {
        counts[(visits - 1).min(2)] += 1;
        counts
    })
}

/// The first accesses to a mailbox.
#[derive(Default)]
enum Visitors {
    #[default]
    None,
    One(usize),
    Two(usize, usize),
}

impl Visitors {
    fn partner_of(&self, index: usize) -> usize {
        match *self {
            Self::Two(first, second) if index == first => second,
            Self::Two(first, second) if index == second => first,
            _ => index,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(mailboxes: &[u8]) -> Records {
        let mut records = Records::new(MAILBOX_LEN + FRAME_LEN);
        for (index, &mailbox) in mailboxes.iter().enumerate() {
            let mut record = vec![index as u8; MAILBOX_LEN + FRAME_LEN];
            record[..MAILBOX_LEN].fill(mailbox);
            records.push(&record);
        }
        records
    }

    #[test]
    fn mailboxes_are_counted_by_how_often_they_were_accessed() {
        assert_eq!(occupancy(&batch(&[1, 2, 1, 3, 4, 4, 4, 5, 5])), [2, 2, 1]);
        assert_eq!(occupancy(&batch(&[])), [0; 3]);
    }

    fn readers(mailboxes: &[u8]) -> Vec<u8> {
        exchange(&batch(mailboxes)).iter().map(|reply| reply[0]).collect()
    }

    #[test]
    fn two_accesses_swap_and_a_lone_one_gets_its_own() {
        assert_eq!(readers(&[7, 8, 7]), [2, 1, 0]);
        assert_eq!(readers(&[]), [] as [u8; 0]);
    }

    #[test]
    fn only_the_first_two_of_many_are_paired() {
        assert_eq!(readers(&[5, 5, 5, 5]), [1, 0, 2, 3]);
    }
}
