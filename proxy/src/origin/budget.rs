//! How much asking again a site's origins can take.
//!
//! When all origins are slow, retries multiply what they have to do just then. So they are at most a share of the requests of
//! the last ten seconds, and a few more for sites that are hardly asked (as in Finagle's `RetryBudget`, and Envoy's retry
//! budgets). Which failure is worth a retry is `request`'s. Time is handed in, in milliseconds of [`crate::clock`].

use parking_lot::Mutex;

use crate::config::origin::Retry;

/// Seconds a request counts.
pub const WINDOW_SECONDS: u64 = 10;

/// The retries of a site.
#[derive(Debug)]
pub struct Budget {
    percent: u64,
    least: u64,
    seconds: Mutex<[Second; WINDOW_SECONDS as usize]>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Second {
    number: u64,
    requests: u64,
    retries: u64,
}

impl Budget {
    /// As a site's config says.
    pub fn of(retry: &Retry) -> Self {
        let least = u64::from(retry.budget_least) * WINDOW_SECONDS;
        Self { percent: retry.budget_percent.into(), least, seconds: Mutex::default() }
    }

    /// A request goes to an origin for the first time.
    pub fn deposit(&self, now_ms: u64) {
        this(&mut self.seconds.lock(), now_ms).requests += 1;
    }

    /// Whether a retry may be made; then it has been counted.
    pub fn withdraw(&self, now_ms: u64) -> bool {
        let mut seconds = self.seconds.lock();
        this(&mut seconds, now_ms);
        let oldest = (now_ms / 1000).saturating_sub(WINDOW_SECONDS - 1);
        let counted = seconds.iter().filter(|second| second.number >= oldest);
        let (requests, retries) =
            counted.fold((0, 0), |(asked, again), second| (asked + second.requests, again + second.retries));
        let allowed = retries < self.least + requests * self.percent / 100;
        if allowed {
            this(&mut seconds, now_ms).retries += 1;
        }
        allowed
    }
}

/// The second that `now_ms` is in.
fn this(seconds: &mut [Second; WINDOW_SECONDS as usize], now_ms: u64) -> &mut Second {
    let number = now_ms / 1000;
    let second = &mut seconds[(number % WINDOW_SECONDS) as usize];
    if second.number != number {
        *second = Second { number, requests: 0, retries: 0 };
    }
    second
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(percent: u32, least: u32) -> Budget {
        Budget::of(&Retry { times: 1, budget_percent: percent, budget_least: least })
    }

    fn granted(budget: &Budget, wanted: usize, now_ms: u64) -> usize {
        (0..wanted).filter(|_| budget.withdraw(now_ms)).count()
    }

    #[test]
    fn a_fifth_of_the_requests_may_be_retries() {
        let budget = budget(20, 0);
        (0..100).for_each(|_| budget.deposit(5_000));
        assert_eq!(granted(&budget, 100, 9_000), 20);
        assert_eq!(granted(&budget, 100, 14_999), 0, "they still count");
        (0..100).for_each(|_| budget.deposit(15_000));
        assert_eq!(granted(&budget, 100, 15_000), 0, "the retries of second 9 count, the requests of second 5 do not");
        assert_eq!(granted(&budget, 100, 19_000), 20);
    }

    #[test]
    fn a_site_that_is_hardly_asked_has_a_few_retries_and_none_without_a_budget() {
        assert_eq!(granted(&budget(20, 1), 100, 0), WINDOW_SECONDS as usize);
        assert_eq!(granted(&budget(0, 0), 100, 0), 0);
    }
}
