//! What mixing costs, measured on the components that run in a network, every result checked.
//!
//! [`hop`] measures one whole hop and its stages, [`round`] a whole round of a network, [`trace`] what malformed onions cost
//! a round; `cargo bench` measures the primitives one by one.

mod backend;
mod clock;
pub mod hop;
mod memory;
pub mod round;
pub mod trace;

/// The middle value, or the mean of the two in the middle.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}
