//! Asking the doctor.

use super::errors;
use super::place::fourtuple_in;
use serde_json::Value;

/// What the doctor says.
pub struct Advice {
    status: Option<i32>,
    ladder: Value,
}

impl Advice {
    /// Asks where such words lead to, about one end: `server` or `client`.
    pub fn ask(place: &[String], end: &'static str, arguments: &[&str]) -> Self {
        let output = fourtuple_in(place)
            .args(["doctor", "--json", "--as", end])
            .args(arguments)
            .output()
            .unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", errors(&output)));
        Self {
            status: output.status.code(),
            ladder: answer["ladders"][end].clone(),
        }
    }

    fn rung(&self, limit: &str) -> &Value {
        let rungs = self.ladder["rungs"].as_array().expect("rungs");
        let found = rungs.iter().find(|rung| rung["limit"] == limit);
        found.unwrap_or_else(|| panic!("no {limit}: {rungs:?}"))
    }

    /// Whether the answer is no, and this limit is one that stands in the way.
    pub fn is_no_for(&self, limit: &str) -> bool {
        let obstacles = self.ladder["obstacles"].as_array().expect("obstacles");
        self.status == Some(1) && obstacles.iter().any(|it| it["limit"] == limit)
    }

    /// What is said of a limit that bounds something else than how many there are.
    pub fn bounds_otherwise(&self, limit: &str) -> &str {
        let rung = self.rung(limit);
        let words = rung["allows"]["other"].as_str();
        words.unwrap_or_else(|| panic!("{rung}"))
    }
}

/// How many connections the doctor allows one end, which is what this limit does: to so many it says yes, and to one
/// more no.
pub fn prediction(place: &[String], end: &'static str, limit: &str, arguments: &[&str]) -> u64 {
    let advice = Advice::ask(place, end, arguments);
    let rung = advice.rung(limit);
    let allowed = rung["allows"]["connections"].as_u64();
    let allowed = allowed.unwrap_or_else(|| panic!("{limit} bounds nothing: {rung}"));
    assert_eq!(advice.ladder["binding"], limit, "{}", advice.ladder);
    assert_eq!(advice.ladder["allows"], allowed, "{}", advice.ladder);
    let ask = |connections: u64| {
        let connections = connections.to_string();
        let arguments = [arguments, &["--connections", &connections]].concat();
        Advice::ask(place, end, &arguments)
    };
    if allowed > 0 {
        assert_eq!(ask(allowed).status, Some(0), "{limit} allows {allowed}");
    }
    let no = ask(allowed + 1);
    assert_eq!(no.status, Some(1), "{limit} allows {allowed}");
    assert_eq!(no.ladder["obstacles"][0]["limit"], limit, "{}", no.ladder);
    allowed
}
