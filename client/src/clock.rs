//! This computer's clock, and waiting between attempts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::sleep;

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Waits until a time by the clock; not at all if it has passed.
pub(crate) async fn sleep_until_ms(at_ms: u64) {
    sleep(Duration::from_millis(at_ms.saturating_sub(now_ms()))).await;
}

/// Waits that double, up to a limit, until something succeeds.
pub(crate) struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    pub(crate) fn new() -> Self {
        Self(Self::FIRST)
    }

    pub(crate) async fn wait(&mut self) {
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(Self::LONGEST);
    }

    pub(crate) fn reset(&mut self) {
        self.0 = Self::FIRST;
    }
}
