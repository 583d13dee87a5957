//! Texts that tell, wherever they turn up, whether one is missing, doubled, out of order or changed.

use rand_chacha::ChaCha20Rng;
use rand_core::Rng;

/// Bytes of the longest text: three frames and a bit.
const LONGEST: u32 = 700;
/// Bytes of text in a frame.
const FRAME: usize = 224;
/// Texts up to this length fit into one frame.
const SHORT: u32 = 200;

/// A text with its author and number in it. Two of three are short; the others need several frames.
pub fn numbered(author: &str, number: usize, rng: &mut ChaCha20Rng) -> String {
    let longest = if rng.next_u32().is_multiple_of(3) { LONGEST } else { SHORT };
    let len = 1 + (rng.next_u32() % longest) as usize;
    let mut text = format!("{author} {number} ");
    while text.len() < len {
        text.push(char::from(b'a' + (rng.next_u32() % 26) as u8));
    }
    text.trim_end().to_owned()
}

/// Whether a text needs several frames.
pub fn is_long(text: &str) -> bool {
    text.len() > FRAME
}

/// What is wrong with what somebody got of what somebody else said, in a sentence; none if it is the same.
pub fn difference(said: &[String], got: &[String]) -> Option<String> {
    if said == got {
        return None;
    }
    let first = said.iter().zip(got).position(|(said, got)| said != got).unwrap_or(said.len().min(got.len()));
    let count = |text: &String| got.iter().filter(|got| *got == text).count();
    let lost = said.iter().filter(|text| count(text) == 0).count();
    let doubled = said.iter().filter(|text| count(text) > 1).count();
    let foreign = got.iter().filter(|text| !said.contains(text)).count();
    Some(format!(
        "of {} texts {} came: {lost} are lost, {doubled} came more than once, {foreign} were never said; the first that \
         is not in its place is number {first}",
        said.len(),
        got.len()
    ))
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    fn texts(count: usize) -> Vec<String> {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        (0..count).map(|number| numbered("alice", number, &mut rng)).collect()
    }

    #[test]
    fn texts_are_all_different_and_some_need_several_frames() {
        let texts = texts(300);
        assert!(texts.iter().any(|text| text.len() > 450));
        assert!(texts.iter().any(|text| text.len() < 20));
        assert!((1..texts.len()).all(|index| !texts[..index].contains(&texts[index])));
        assert!(texts.iter().all(|text| text.trim() == text));
    }

    #[test]
    fn whatever_is_lost_doubled_turned_or_changed_is_found() {
        let said = texts(5);
        assert_eq!(difference(&said, &said), None);
        let found = |change: fn(&mut Vec<String>)| {
            let mut got = said.clone();
            change(&mut got);
            difference(&said, &got).expect("it is not the same")
        };
        assert!(found(|got| drop(got.remove(2))).contains("1 are lost, 0 came more than once, 0 were never said"));
        assert!(found(|got| got.insert(3, got[1].clone())).contains("0 are lost, 1 came more than once"));
        assert!(found(|got| got.swap(1, 3)).ends_with("number 1"));
        assert!(found(|got| got[4].push('!')).contains("1 are lost, 0 came more than once, 1 were never said"));
        assert!(found(Vec::clear).contains("5 are lost"));
    }
}
