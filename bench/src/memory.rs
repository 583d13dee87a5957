//! How much memory some work takes at its peak, as the operating system counts it.

use std::fs;

/// Resident memory of the process before the work.
pub(crate) struct PeakMemory {
    baseline: Option<u64>,
}

impl PeakMemory {
    /// Notes what is resident: program, threads, commitment key, what the work is done on.
    pub(crate) fn before() -> Self {
        // Sets the peak back to what is resident now. Where that is forbidden, an earlier peak may show: still a bound.
        let _ = fs::write("/proc/self/clear_refs", "5");
        Self { baseline: status("VmRSS:") }
    }

    /// The most bytes that were resident since then, beyond what was resident at first.
    ///
    /// Memory that the allocator has not given back after earlier work counts as the work's: the true peak is not above
    /// what this says. None where the system has no `/proc` as Linux has it.
    pub(crate) fn peak(&self) -> Option<u64> {
        status("VmHWM:").zip(self.baseline).map(|(peak, baseline)| peak.saturating_sub(baseline))
    }

    /// Runs `work` and gives its peak beyond the `held` bytes of others.
    pub(crate) fn during<T>(&self, held: usize, work: impl FnOnce() -> T) -> (T, Option<u64>) {
        let _ = fs::write("/proc/self/clear_refs", "5");
        let result = work();
        (result, self.peak().map(|bytes| bytes.saturating_sub(held as u64)))
    }
}

/// A field of the process's status, in bytes.
fn status(field: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn an_allocation_that_is_gone_again_is_in_the_peak() {
        const BYTES: usize = 64 << 20;
        let memory = PeakMemory::before();
        let (sum, peak) = memory.during(0, || {
            let touched: Vec<u8> = (0..BYTES).map(|index| index as u8).collect();
            touched.iter().map(|&byte| u64::from(byte)).sum::<u64>()
        });
        assert!(sum > 0);
        let peak = peak.expect("Linux");
        assert!(peak >= BYTES as u64 * 9 / 10, "{peak}");
        let (_, discounted) = memory.during(BYTES, || ());
        assert!(discounted.expect("Linux") < BYTES as u64, "what others hold is taken off");
    }
}
