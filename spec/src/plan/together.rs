//! What is sound on its own and not together.

use super::{CaseRequest, PlanError};
use crate::case::{Case, ClientKind, Mode, NetworkChoice, Path, Peer, TcpOptions};
use crate::engine::{Descriptors, Engine};
use crate::factors::{Buffers, DescriptorKind, Receive, Send};

impl CaseRequest {
    /// Refuses keys that are sound on their own and not together.
    pub(super) fn check_together(case: &Case) -> Result<(), PlanError> {
        if (1..10).contains(&case.measure_ms) {
            return conflict("a measured span is 10 ms or longer, or 0 for none: set measure_ms");
        }
        Self::check_peer(case)?;
        Self::check_engine(case)?;
        Self::check_factors(case)?;
        Self::check_bounds(case)?;
        Self::check_load(case)?;
        match case.state {
            None => Ok(()),
            Some(_) if case.peer == Peer::Kernel => conflict(
                "a state is held by ghost peers, so that the server's end is all that there is: use peer = \"ghost\"",
            ),
            Some(_) if case.network == NetworkChoice::Host => {
                conflict("a state needs a network of its own: use network = \"private\"")
            }
            Some(state)
                if state.is_engines()
                    && case.engine.is_some_and(|engine| !engine.profile().echoes) =>
            {
                conflict("this state is an engine's, and the engine null has none: name another")
            }
            Some(_) => Ok(()),
        }
    }

    fn check_peer(case: &Case) -> Result<(), PlanError> {
        Self::check_rate(case)?;
        if case.peer == Peer::Kernel {
            if case.has_faults() || case.tcp_options != TcpOptions::Plain {
                return conflict(
                    "tcp_options, loss_ppm, duplicate_ppm and reorder_ppm are of a ghost's TCP: use peer = \"ghost\"",
                );
            }
            return Ok(());
        }
        if case.network == NetworkChoice::Host {
            return conflict("ghost peers need a network of their own: use network = \"private\"");
        }
        if case.mode == Mode::Churn || case.burst_pause_us.is_some() || case.path == Path::Veth {
            return conflict(
                "churn, bursts and the path veth are driven with kernel peers: use peer = \"kernel\"",
            );
        }
        if case.client == ClientKind::Spin {
            return conflict("ghosts have no sockets to spin on: leave client out");
        }
        Ok(())
    }

    fn check_rate(case: &Case) -> Result<(), PlanError> {
        match (case.mode, case.rate, case.rate_percent) {
            (_, Some(_), Some(_)) => {
                conflict("rate and rate_percent say the same thing in two ways: leave one out")
            }
            (Mode::Open, None, None) => {
                conflict("an open loop offers messages at a rate: set rate, such as 20000")
            }
            (Mode::Closed, Some(_), None) => {
                conflict("a closed loop has no rate of its own: use mode = \"open\"")
            }
            (Mode::Closed | Mode::Churn, None, Some(_)) => {
                conflict("rate_percent is of an open loop: leave mode out, or use mode = \"open\"")
            }
            (Mode::Open, None, Some(_)) if !case.measures() => conflict(
                "rate_percent needs a capacity: an engine that echoes, and a measured span of it",
            ),
            _ => Ok(()),
        }
    }

    fn check_engine(case: &Case) -> Result<(), PlanError> {
        let is_foreign = case.engine == Some(Engine::Foreign);
        let has_command = case
            .foreign
            .as_ref()
            .is_some_and(|foreign| !foreign.command.is_empty());
        if is_foreign != case.foreign.is_some() || is_foreign && !has_command {
            return conflict(
                "a foreign server needs a command: engine = { command = [\"my-server\", \"{port}\"] }",
            );
        }
        if is_foreign && (case.state.is_some() || case.workers > 1) {
            return conflict(
                "a foreign server holds no state and starts its own workers: leave those keys out",
            );
        }
        if case.engine == Some(Engine::Threads) && case.workers > 1 {
            return conflict("the engine threads has a thread a connection: leave workers out");
        }
        let is_stack = case.engine == Some(Engine::Stack);
        let is_plain_load = case.peer == Peer::Kernel
            && case.mode == Mode::Closed
            && case.client == ClientKind::Spin
            && case.path == Path::Lo
            && case.workers == 1
            && case.burst_pause_us.is_none()
            && case.hot() == case.connections;
        if is_stack && !is_plain_load {
            return conflict(
                "the engine stack is one thread with both ends over lo: it has a closed loop over all connections, and nothing else",
            );
        }
        Ok(())
    }

    fn check_factors(case: &Case) -> Result<(), PlanError> {
        let Some(engine) = case.engine else {
            return Ok(());
        };
        let known = engine.profile().factors;
        if let Some((name, value)) =
            (case.factors.differences().into_iter()).find(|(name, _)| !known.contains(name))
        {
            let has = match known {
                [] => "it has none".to_owned(),
                _ => format!("it has {}", known.join(", ")),
            };
            return conflict(&format!(
                "{name} = {value} is no factor of the engine {engine}: {has}"
            ));
        }
        let factors = &case.factors;
        let is_fixed = factors.buffers == Buffers::Fixed;
        if is_fixed && factors.recv == Receive::Bundle {
            return conflict(
                "a bundle fills provided buffers, and fixed ones are each connection's own",
            );
        }
        if factors.recv == Receive::Poll && (is_fixed || factors.send != Send::Send) {
            return conflict(
                "recv = \"poll\" is the engine uring-poll, which has neither fixed buffers nor another send",
            );
        }
        if is_fixed && factors.send != Send::Send {
            return conflict(
                "fixed buffers are written from where they were read into: leave send out",
            );
        }
        Ok(())
    }

    /// A bound that nothing would meet is none.
    fn check_bounds(case: &Case) -> Result<(), PlanError> {
        let Some(engine) = case.engine else {
            return Ok(());
        };
        let is_ours = !matches!(engine, Engine::Foreign | Engine::Stack);
        if !is_ours && (case.server_processes.is_some() || case.server_descriptors.is_some()) {
            return conflict(&format!(
                "the engine {engine} has no server process of this program's own: leave server_processes and server_descriptors out"
            ));
        }
        let is_plain = case.factors.descriptors == DescriptorKind::Plain;
        let has_tables = engine.profile().descriptors == Descriptors::Direct && !is_plain;
        if case.rings_max.is_some() && !has_tables {
            return conflict(&format!(
                "rings_max is of rings with tables of direct descriptors, and the engine {engine} has none here: leave it out"
            ));
        }
        let processes = case.server_processes.filter(|&count| count != case.workers);
        if processes.is_some() && has_tables {
            return conflict(&format!(
                "server_processes is of engines on process descriptors, and {engine} is on direct ones: set workers instead"
            ));
        }
        Ok(())
    }

    fn check_load(case: &Case) -> Result<(), PlanError> {
        if case.mode == Mode::Churn {
            if case.client == ClientKind::Spin || case.state.is_some() {
                return conflict(
                    "churn is driven by the io_uring client: leave client and state out",
                );
            }
            if case.measure_ms == 0
                || case.until_full
                || case.hold_ms > 0
                || case.hot() < case.connections
            {
                return conflict(
                    "churn opens and closes connections for as long as it is measured: it holds none, and none is idle",
                );
            }
        }
        let is_spun = case.client == ClientKind::Spin && case.engine != Some(Engine::Stack);
        if is_spun && case.depth > 1 {
            return conflict(
                "the spinning client keeps one message in flight: use depth 1, or client = \"uring\"",
            );
        }
        if case.burst_pause_us.is_some() && case.mode != Mode::Closed {
            return conflict(
                "bursts are of a closed loop, where echoes lead to messages: leave mode and rate out",
            );
        }
        if case.mode == Mode::Open && case.client == ClientKind::Spin {
            return conflict(
                "the spinning client looks at every connection in turn, and would come late to what is due: an open loop is driven by client = \"uring\", or by ghosts",
            );
        }
        if case.burst_pause_us.is_some() && case.client == ClientKind::Spin {
            return conflict("bursts are driven by the io_uring client: leave client out");
        }
        if case.path == Path::Veth && case.network == NetworkChoice::Host {
            return conflict(
                "a veth pair joins two networks of the run's own: use network = \"private\"",
            );
        }
        Ok(())
    }
}

fn conflict(problem: &str) -> Result<(), PlanError> {
    Err(PlanError::Conflict(problem.to_owned()))
}
