//! Files that people keep, damage and hand on.

mod evidence;
mod fuzz;
mod key_files;
mod networks_and_registries;
