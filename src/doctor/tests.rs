//! Every limit by hand-made values: what it allows, and how it is raised.

use super::fixture::{client, limits, question, server};
use super::*;

#[test]
fn the_binding_limit_is_on_top() {
    let ladder = examine(question(None, Some(server()), Some(client())), &limits());
    assert_eq!(ladder.rungs[0].limit, "RLIMIT_NOFILE");
    assert_eq!(ladder.rungs[0].side, Side::Server);
    assert_eq!(ladder.allows(), Some(1_024 - 3 - 4));
}
