//! Which arithmetic of the group runs.

/// The group's back end, as it is chosen when the process starts, and what the code around it was compiled for.
pub(crate) fn describe() -> String {
    format!("{}, {}", back_end(), build())
}

#[cfg(target_arch = "x86_64")]
fn back_end() -> &'static str {
    // Where no flag says which back ends to compile, the library goes by the features that the build may rely on.
    let no_vectors = cfg!(any(curve25519_dalek_backend = "serial", curve25519_dalek_backend = "fiat"));
    let (ifma_compiled, vectors_compiled) = if cfg!(curve25519_dalek_backend = "avx512") {
        (true, true)
    } else if no_vectors || cfg!(curve25519_dalek_backend = "simd") {
        (false, !no_vectors)
    } else {
        (cfg!(all(target_feature = "avx512ifma", target_feature = "avx512vl")), true)
    };
    let has_ifma = std::is_x86_feature_detected!("avx512ifma") && std::is_x86_feature_detected!("avx512vl");
    match () {
        () if ifma_compiled && has_ifma => "avx512ifma",
        () if vectors_compiled && std::is_x86_feature_detected!("avx2") => "avx2",
        () => "serial",
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn back_end() -> &'static str {
    "serial"
}

fn build() -> &'static str {
    match () {
        () if cfg!(debug_assertions) => "built without full optimisation: figures mean nothing",
        () if cfg!(target_feature = "avx512ifma") => "built for cpus with avx512ifma",
        () if cfg!(target_feature = "avx2") => "built for cpus with avx2",
        () => "built for any cpu of the architecture",
    }
}
