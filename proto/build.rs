//! Generates the wire types and services from `proto/hippodrome.proto`, without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto/hippodrome.proto");
    let descriptors = protox::compile(["hippodrome.proto"], ["proto"])?;
    tonic_prost_build::configure().bytes(".").emit_rerun_if_changed(false).compile_fds(descriptors)?;
    Ok(())
}
