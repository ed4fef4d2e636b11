//! Programs of others that tests ask: `dig`, `unbound` and their like. Where one is missing a test says so and passes, since not every
//! machine has it; with `LITTORAL_OUTSIDERS=all`, as in CI, it fails, since it would have tried nothing.

use std::io::Error;

/// The variable that makes a missing program an error when it is `all`.
pub const VARIABLE: &str = "LITTORAL_OUTSIDERS";

/// Says that `program`, of Debian's `package`, cannot be run.
///
/// # Panics
/// When all of them have to be there.
pub fn absent(program: &str, package: &str, error: &Error) {
    let wanted = std::env::var(VARIABLE).is_ok_and(|which| which == "all");
    let line = said(program, package, error, wanted);
    println!("{}", line.unwrap_or_else(|line| panic!("{line}")));
}

/// What is printed, or what the test fails with.
fn said(program: &str, package: &str, error: &Error, wanted: bool) -> Result<String, String> {
    let line = format!("{program} cannot be run ({error}); Debian has it in {package}");
    if wanted { Err(format!("{VARIABLE}=all, but {line}")) } else { Ok(format!("skipped: {line}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_an_error_where_all_have_to_be_there() {
        let error = Error::from(std::io::ErrorKind::NotFound);
        let missing = |wanted| said("kdig", "knot-dnsutils", &error, wanted);
        assert!(missing(false).unwrap().starts_with("skipped: kdig cannot be run"));
        assert!(missing(true).unwrap_err().starts_with("LITTORAL_OUTSIDERS=all, but kdig cannot be run"));
    }
}
