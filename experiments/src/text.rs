//! Text that grows.

use std::fmt::{Arguments, Write};

/// Puts something behind a text.
pub(crate) fn put(text: &mut String, what: Arguments<'_>) {
    text.write_fmt(what).expect("text takes everything");
}
