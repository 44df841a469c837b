//! Whether this host serves. Pure.

/// One line about it. `Err`: nothing does, or not what should.
///
/// What keeps updates from being made (a hold, a source that does not answer, a release that was refused) is not ill: what
/// serves, serves.
pub(super) fn health(
    stopping: bool,
    driver: Option<&str>,
    serves: Option<(u64, bool)>,
) -> Result<String, &'static str> {
    match (stopping, driver, serves) {
        (true, ..) => Err("the supervisor is stopping, and the service drains"),
        (_, Some(driver), _) => Ok(format!("somebody else runs the service, and `{driver}` restarts it")),
        (_, _, None) => Err("no process of the service is ready"),
        (_, _, Some((_, true))) => Err("what serves has failed its watch, and the release before it is not ready yet"),
        (_, _, Some((generation, false))) => Ok(format!("generation {generation} serves")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_well_if_a_process_serves_that_has_not_failed() {
        assert_eq!(health(false, None, Some((3, false))).unwrap(), "generation 3 serves");
        assert_eq!(
            health(false, Some("systemd"), None).unwrap(),
            "somebody else runs the service, and `systemd` restarts it"
        );
        for (stopping, driver, serves, word) in [
            (true, None, Some((3, false)), "stopping"),
            (true, Some("none"), None, "stopping"),
            (false, None, None, "no process"),
            (false, None, Some((3, true)), "failed its watch"),
        ] {
            assert!(health(stopping, driver, serves).unwrap_err().contains(word), "{word}");
        }
    }
}
