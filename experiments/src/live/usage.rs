//! What a process has used, as the system says in `/proc`.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

/// CPU time and memory of a process from its start until now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Seconds of CPU time of all its threads.
    pub cpu_s: f64,
    /// The most memory that it had at any time, bytes; 0 if it has ended and its parent has not looked yet.
    pub peak_bytes: u64,
}

impl Usage {
    /// Of a process by its number.
    pub fn of(pid: u32) -> io::Result<Self> {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}"));
        let odd = || io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid} is not as expected"));
        let ticks = cpu_ticks(&read("stat")?).ok_or_else(odd)?;
        let peak_kb = peak_kb(&read("status")?).unwrap_or(0);
        Ok(Self { cpu_s: ticks as f64 / rustix::param::clock_ticks_per_second() as f64, peak_bytes: peak_kb * 1024 })
    }

    /// Of the process that a pid file names.
    pub fn of_holder(pid_file: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(pid_file)?;
        let pid = text.trim().parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "no process id"))?;
        Self::of(pid)
    }
}

/// User and system time. The name before them may hold anything, parentheses too.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn peak_kb(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_memory_are_read_whatever_the_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 9 0 0 0 250 31 0 0 20 0 1 0";
        assert_eq!(cpu_ticks(stat), Some(281));
        assert_eq!(cpu_ticks("7 (a"), None);
        assert_eq!(peak_kb("Name:\ta\nVmHWM:\t  1234 kB\nVmRSS:\t 1 kB\n"), Some(1234));
        assert_eq!(peak_kb("Name:\ta\n"), None);
    }

    #[test]
    fn this_process_has_used_something() {
        let usage = Usage::of(std::process::id()).expect("there is a /proc");
        assert!(usage.peak_bytes > 1 << 16);
        assert!(usage.cpu_s >= 0.0);
    }
}
