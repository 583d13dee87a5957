//! Declares the configuration flag by which the group's back end is chosen, so that the bench can report it.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(curve25519_dalek_backend, values(any()))");
    println!("cargo::rerun-if-changed=build.rs");
}
