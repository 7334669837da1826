//! Which runs make the price list of this claim, and what was published before.

use fourtuple_spec::plan::{CaseRequest, Plan};
use fourtuple_spec::{EndpointState, Engine};

/// The plan of the published list.
const PLAN: &str = include_str!("../../../plans/price-list.toml");

/// Of the engines that it has for the states that are an engine's, these are the three kinds of waiting: by a receive
/// that is armed, by a poll in a ring, by epoll.
const ENGINES: [Engine; 4] = [
    Engine::Null,
    Engine::Uring,
    Engine::UringPoll,
    Engine::Epoll,
];

/// The requests of that plan, those of other engines left out.
pub fn requests() -> Vec<CaseRequest> {
    let plan = Plan::parse(PLAN, "plans/price-list.toml").expect("a built-in plan is sound");
    let requests = plan.requests.into_iter();
    requests
        .filter(|request| ENGINES.contains(&request.engine))
        .collect()
}

/// Kernel bytes of one endpoint as published (results/2026-11-22-vm-price-list): the slopes of two runs at each of five
/// counts, 24 GiB, Linux 6.18.
pub fn published(state: EndpointState, engine: Option<Engine>, is_tuned: bool) -> Option<f64> {
    if state.is_engines() {
        return published_of_engine(state, engine?).filter(|_| !is_tuned);
    }
    Some(match (state, is_tuned) {
        (EndpointState::HalfOpen, false) => 349.0,
        (EndpointState::AcceptQueue, false) => 2_882.0,
        (EndpointState::Accepted, false) => 3_980.0,
        (EndpointState::Accepted, true) => 3_978.0,
        (EndpointState::Unread64, false) => 4_761.0,
        (EndpointState::Unread4096, false) => 10_830.0,
        (EndpointState::UnreadFull, false) => 146_743.0,
        (EndpointState::UnreadFull, true) => 6_254.0,
        (EndpointState::SendFull, false) => 134_850.0,
        (EndpointState::FinWait2Held, false) => 4_040.0,
        (EndpointState::FinWait2, false) => 261.0,
        (EndpointState::TimeWait, false) => 265.0,
        (EndpointState::Orphan, false) => 3_603.0,
        _ => return None,
    })
}

fn published_of_engine(state: EndpointState, engine: Engine) -> Option<f64> {
    let armed = state == EndpointState::Armed;
    Some(match (engine, armed) {
        (Engine::Uring, _) => 4_812.0,
        (Engine::UringPoll, true) => 4_233.0,
        (Engine::UringPoll, false) => 4_195.0,
        (Engine::Epoll, true) => 4_241.0,
        (Engine::Epoll, false) => 4_107.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fourtuple_spec::case::ENDPOINT_STATES;
    use fourtuple_spec::plan::CaseDefaults;

    #[test]
    fn every_state_is_asked_for_at_five_counts_and_has_a_prediction() {
        let requests = requests();
        let defaults = CaseDefaults::new(vec![0], vec![1]);
        assert!(
            requests
                .iter()
                .all(|request| request.resolve(&defaults).is_ok())
        );
        for (state, name, _) in ENDPOINT_STATES {
            let engines = if state.is_engines() { 3 } else { 1 };
            let of_state =
                |request: &&CaseRequest| request.state == Some(state) && request.sysctls.is_none();
            assert_eq!(
                requests.iter().filter(of_state).count(),
                5 * engines,
                "{name}"
            );
        }
        let tuned = requests.iter().filter(|request| request.sysctls.is_some());
        assert_eq!(tuned.count(), 10);
        for request in &requests {
            let is_tuned = request.sysctls.is_some();
            let state = request.state.unwrap();
            assert!(published(state, Some(request.engine), is_tuned).is_some());
        }
    }
}
