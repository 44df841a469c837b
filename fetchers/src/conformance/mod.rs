//! What every fetcher promises, as tests for any of them.
//!
//! A fetcher's author implements [`Origin`] for a server or directory under the test's control and
//! writes one line, which makes one `#[test]` of each rule:
//!
//! ```
//! # use fetchd_fetchers::conformance::HttpOrigin;
//! fetchd_fetchers::conformance_tests!(http, HttpOrigin::start);
//! ```
//!
//! A report then reads `http::failed_open_does_not_consume_the_release`. What an origin cannot be
//! made to do it [declines](Declined) with a reason, which the test prints. [`rules`] has the
//! rules, [`scripted`] an HTTP origin to build upon.

mod file_origin;
mod http_origin;
mod journal;
mod origin;
pub mod rules;
pub mod scripted;

use std::future::Future;
use std::time::{Duration, Instant};

pub use file_origin::FileOrigin;
pub use http_origin::HttpOrigin;
pub use origin::{Contrast, Declined, Fault, Origin, Secret};

/// Calls a macro with the names of all rules after its own arguments.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_rules {
    ($then:ident! $($before:tt)*) => {
        $crate::$then! { $($before)*
            poll_offers_the_published_release
            poll_with_the_current_revision_is_unchanged
            a_source_without_validators_still_shows_a_new_release
            failed_open_does_not_consume_the_release
            open_yields_exactly_the_published_bytes
            a_body_can_be_resumed
            a_short_body_is_incomplete
            a_read_error_is_not_the_end
            a_release_replaced_after_poll_is_changed_not_mixed
            a_stalled_body_can_be_cancelled
            dropping_the_body_closes_the_connection
            missing_is_not_found
            forbidden_is_denied
            throttled_carries_retry_after
            two_fetchers_with_different_options_do_not_share_them
            concurrent_polls_do_not_interfere
            no_secret_appears_in_errors_debug_or_logs
            unknown_options_are_refused_by_name
        }
    };
}

/// Makes a module with one `#[test]` for each rule of the suite. The second argument is called
/// for each test and makes an [`Origin`].
#[macro_export]
macro_rules! conformance_tests {
    ($module:ident, $start:expr) => {
        $crate::__conformance_rules!(conformance_tests! @rules $module, $start,);
    };
    (@rules $module:ident, $start:expr, $($rule:ident)*) => {
        mod $module {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[test]
                fn $rule() {
                    $crate::conformance::check(stringify!($module), stringify!($rule), async {
                        $crate::conformance::rules::$rule(&mut ($start)()).await
                    });
                }
            )*
        }
    };
}

/// Runs every rule, for a report: an array of their names, each with `Ok` or the reason why it
/// does not apply. A rule that does not hold panics.
#[macro_export]
macro_rules! conformance_verdicts {
    ($start:expr) => {
        $crate::__conformance_rules!(conformance_verdicts! @rules $start,)
    };
    (@rules $start:expr, $($rule:ident)*) => {
        [$(
            (stringify!($rule), $crate::conformance::verdict(async {
                $crate::conformance::rules::$rule(&mut ($start)()).await
            })),
        )*]
    };
}

/// Runs one rule, and prints the reason if the origin declines it.
///
/// # Panics
/// If the rule does not hold, or takes longer than a minute.
pub fn check(fetcher: &str, rule: &str, run: impl Future<Output = Result<(), Declined>>) {
    if let Err(Declined(reason)) = verdict(run) {
        tell(&format!("{fetcher}: {rule} does not apply: {reason}"));
    }
}

/// Runs one rule; `Err` is the reason why it does not apply.
///
/// # Panics
/// If the rule does not hold, or takes longer than a minute.
pub fn verdict(run: impl Future<Output = Result<(), Declined>>) -> Result<(), Declined> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be made");
    let done = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), run).await });
    // Reads of a file may still be under way on a thread of the runtime's; nobody waits for them.
    runtime.shutdown_background();
    done.expect("the rule is decided within a minute")
}

/// The report of a test is its standard error.
#[allow(clippy::print_stderr)]
fn tell(line: &str) {
    eprintln!("{line}");
}

/// Looks every few milliseconds whether `reached`; `false` if `limit` passes first.
pub(crate) fn wait_until(limit: Duration, mut reached: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + limit;
    while !reached() {
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}
