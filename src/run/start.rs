//! Starting the processes of a run and getting them ready.

use super::Run;
use super::events::{Event, Halt, Who};
use super::process::Process;
use super::wait::out_of_turn;
use crate::doctor::of_case;
use crate::{limits, network};
use fourtuple_meter::NetworkCounters;
use fourtuple_spec::address::{PRIVATE_SERVER_PORT, VETH_SERVER_NETWORK};
use fourtuple_spec::message::{ClientReply, ClientRequest, Network, ServerReply, ServerRequest};
use fourtuple_spec::{
    AddressMode, AddressPlan, Case, EndpointState, Engine, NetworkChoice, Path, Peer,
};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// From so many connections on a run that holds them gets a table of its own, of one bucket a connection, and no
/// more than this: 64 MB.
const HASH_CONNECTIONS: u32 = 500_000;
const HASH_BUCKETS_MAX: u32 = 1 << 23;

/// How long a process may take to be ready. Nothing that grows with the case happens before.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// How long another program's processes may take to end, once they are killed.
const FOREIGN_GRACE: Duration = Duration::from_secs(2);

impl Run<'_> {
    /// Starts the servers, one after the other, then the client; or the client alone, if the server
    /// is not this program's.
    pub(super) fn start_all(&mut self) -> Result<(), Halt> {
        let limit = limits::child_descriptors();
        self.record.granted.descriptor_limit = Some(limit);
        match self.case.engine {
            None => return self.start_client_alone(),
            Some(Engine::Stack) => return self.start_stack(),
            Some(_) => {}
        }
        let shard_count = limits::server_processes(
            &self.case,
            limits::of_server(&self.case, limit),
            of_case::own_children_max(),
        );
        self.record.granted.server_processes = Some(shard_count);
        let (network, listen) = self.first_network()?;
        let address = self.start_server((0, shard_count), network.clone(), listen)?;
        self.server_port = Some(address.port());
        let server_pid = self.servers[0].pid();
        let shared = match network {
            Network::Host => Network::Host,
            _ => Network::Join(server_pid),
        };
        for shard in 1..shard_count {
            self.start_server((shard, shard_count), shared.clone(), address)?;
        }
        match (self.case.path, network) {
            (Path::Veth, Network::Create(sysctls)) => {
                let target = (VETH_SERVER_NETWORK, address.port()).into();
                self.start_client(Network::Veth(server_pid, sysctls), target)
            }
            _ => self.start_client(shared, address),
        }
    }

    fn start_client_alone(&mut self) -> Result<(), Halt> {
        let Some(target) = self.case.target else {
            return Err(Halt::failed(
                "the case names neither an engine nor a server",
            ));
        };
        self.record.granted.network = Some("host".to_owned());
        self.start_client(Network::Host, target)
    }

    /// The client has both ends of every connection, so the network is its own too.
    fn start_stack(&mut self) -> Result<(), Halt> {
        let (network, listen) = self.first_network()?;
        let port = match listen.port() {
            0 => free_port(listen)
                .map_err(|error| Halt::failed(format!("{listen} has no free port: {error}")))?,
            port => port,
        };
        self.start_client(network, (Ipv4Addr::LOCALHOST, port).into())
    }

    /// The network that the first server makes or finds, and where it listens there.
    fn first_network(&mut self) -> Result<(Network, SocketAddr), Halt> {
        let refusal = self.context.private_refusal.as_ref();
        let is_private = self.case.network == NetworkChoice::Private && refusal.is_none();
        if self.case.peer == Peer::Ghost && !is_private {
            let reason = refusal.map_or("the case asks for the host's", String::as_str);
            return Err(Halt::failed(no_network_for_ghosts(reason)));
        }
        if self.case.path == Path::Veth {
            check_veth(&self.case, refusal)?;
        }
        let granted = &mut self.record.granted;
        granted.network = Some(if is_private { "private" } else { "host" }.to_owned());
        if is_private {
            let listen = (Ipv4Addr::UNSPECIFIED, PRIVATE_SERVER_PORT).into();
            let sysctls = sysctls(&self.case, &has_sysctl);
            granted.settings = sysctls.clone();
            if self.case.path == Path::Veth {
                granted.settings.extend(network::veth_settings());
            }
            return Ok((Network::Create(sysctls), listen));
        }
        if self.case.network == NetworkChoice::Private {
            granted.network_reason = refusal.cloned();
        }
        if let Some(name) = self.case.sysctls.keys().next() {
            return Err(Halt::failed(format!(
                "{name} cannot be set: this run has no network of its own, and the host's is left as it is"
            )));
        }
        Ok((Network::Host, (host_address(&self.case), 0).into()))
    }

    fn start_server(
        &mut self,
        shard: (u32, u32),
        network: Network,
        listen: SocketAddr,
    ) -> Result<SocketAddr, Halt> {
        let index = shard.0;
        let sender = self.sender.clone();
        let event = move |reply| Event::Server(index, reply);
        let mut server = Process::start(Who::Server(index), sender, event)?;
        if self.case.engine == Some(Engine::Foreign) {
            server.allow(FOREIGN_GRACE);
        }
        server.tell(&ServerRequest::Start {
            case: Box::new(self.case.clone()),
            network,
            listen,
            shard,
        });
        self.subjects.server_pids.push(server.pid());
        self.servers.push(server);
        let ServerReply::Listening { address, granted } =
            self.server_reply(READY_LIMIT, "a listening server")?.1
        else {
            return Err(out_of_turn(Who::Server(index)));
        };
        if index == 0 {
            self.record.granted.server = granted;
        }
        Ok(address)
    }

    fn start_client(&mut self, network: Network, target: SocketAddr) -> Result<(), Halt> {
        let mut client = Process::start(Who::Client, self.sender.clone(), Event::Client)?;
        client.tell(&ClientRequest::Start {
            case: Box::new(self.case.clone()),
            network,
            target,
            rank: (0, 1),
        });
        self.subjects.client_pids.push(client.pid());
        self.client = Some(client);
        let ClientReply::Hello { granted, .. } =
            self.client_reply(READY_LIMIT, "a client that is ready")?
        else {
            return Err(out_of_turn(Who::Client));
        };
        self.record.granted.client = granted;
        Ok(())
    }

    /// Counters of the network in which the run happens: all its processes are in it, or, joined by a veth pair,
    /// the client is in one and the servers in another.
    pub(super) fn network_counters(&self) -> NetworkCounters {
        let Some(&client) = self.subjects.client_pids.first() else {
            return NetworkCounters::default();
        };
        let counters = NetworkCounters::take(client);
        match self.subjects.server_pids.first() {
            Some(&server) if self.case.path == Path::Veth => {
                sum(counters, NetworkCounters::take(server))
            }
            _ => counters,
        }
    }

    /// Reads what everything later is compared with.
    pub(super) fn take_baseline(&mut self) {
        self.network = self.network_counters();
        self.time_wait = self.read_time_wait();
        self.memory = Some(self.look_at_memory());
    }
}

/// A port that nobody has; somebody may take it before it is used.
fn free_port(listen: SocketAddr) -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(listen)?.local_addr()?.port())
}

/// What the private network is set to: what the case says, and before it what a state or ghosts need, of what
/// this kernel has. tcp_max_orphans is not among them: it is the whole host's, and where it is met the kernel
/// ends connections at once, which is what an interrupted run is to come to.
fn sysctls(case: &Case, has: &dyn Fn(&str) -> bool) -> BTreeMap<String, String> {
    let mut wanted: Vec<(&str, String)> = Vec::new();
    if case.state.is_some() {
        // So that no queue is too short. One of half-open connections gives up the oldest early once it
        // is more than half full.
        let queue = case.connections.saturating_mul(2);
        let queue = queue.clamp(65_535, i32::MAX as u32).to_string();
        wanted.push(("net.core.somaxconn", queue.clone()));
        wanted.push(("net.ipv4.tcp_max_syn_backlog", queue));
    }
    if case.engine == Some(Engine::Foreign) {
        // The port is one that only root may have; an ordinary user's program leaves what rights it has in the
        // namespace behind when it begins.
        wanted.push(("net.ipv4.ip_unprivileged_port_start", "0".to_owned()));
    }
    if case.peer == Peer::Ghost && case.state.is_none() && case.measure_ms == 0 {
        wanted.extend(holding(case));
    }
    if case.peer == Peer::Ghost {
        // No cookie is to stand in for a half-open connection: its options would be lost.
        wanted.push(("net.ipv4.tcp_syncookies", "0".to_owned()));
        // Ghosts ask an idle connection where it stands by a segment outside of its window, and the kernel
        // answers two a second of those, a connection.
        wanted.push(("net.ipv4.tcp_invalid_ratelimit", "0".to_owned()));
        if case.state != Some(EndpointState::Orphan) {
            // A run that is interrupted leaves ends that close towards nobody, and they keep the namespace
            // alive: for 3 s with this, for 100 s without.
            wanted.push(("net.ipv4.tcp_orphan_retries", "3".to_owned()));
        }
    }
    let mut sysctls: BTreeMap<String, String> = wanted
        .into_iter()
        .filter(|(name, _)| has(name))
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    sysctls.extend(case.sysctls.clone());
    sysctls
}

/// What serves a run that holds ghosts' connections and measures no rate. There the ghosts' core would do nearly
/// all of the work, so what the device receives is steered over both sides' cores; and with 19 connections in a
/// bucket of the usual table, a third of that core's time was looking for them.
fn holding(case: &Case) -> Vec<(&'static str, String)> {
    let cpus = case.server_cpus.iter().chain(&case.client_cpus);
    let mask = ("net.core.rps_default_mask", cpu_mask(cpus.copied()));
    let buckets = case.connections.min(HASH_BUCKETS_MAX).next_power_of_two();
    let buckets = ("net.ipv4.tcp_child_ehash_entries", buckets.to_string());
    match case.connections {
        0..HASH_CONNECTIONS => vec![mask],
        _ => vec![mask, buckets],
    }
}

/// Cores as the kernel writes a set of them: words of 32 bits, the last cores first.
fn cpu_mask(cpus: impl Iterator<Item = u32>) -> String {
    let mut words = vec![0_u32];
    for cpu in cpus {
        let word = (cpu / 32) as usize;
        words.resize(words.len().max(word + 1), 0);
        words[word] |= 1 << (cpu % 32);
    }
    let mut words = words.iter().rev();
    let first = words
        .next()
        .map_or(String::new(), |word| format!("{word:x}"));
    words.fold(first, |mask, word| format!("{mask},{word:08x}"))
}

/// Whether this kernel has such a setting at all.
fn has_sysctl(name: &str) -> bool {
    std::path::Path::new("/proc/sys")
        .join(name.replace('.', "/"))
        .exists()
}

/// What two networks have counted together; what one of them does not know is not known.
fn sum(one: NetworkCounters, other: NetworkCounters) -> NetworkCounters {
    let add = |one: Option<u64>, other: Option<u64>| Some(one?.saturating_add(other?));
    NetworkCounters {
        segments_retransmitted: add(one.segments_retransmitted, other.segments_retransmitted),
        listen_overflows: add(one.listen_overflows, other.listen_overflows),
        listen_drops: add(one.listen_drops, other.listen_drops),
    }
}

/// A pair of devices takes two networks of the run's own, and has as many addresses as its prefixes.
fn check_veth(case: &Case, refusal: Option<&String>) -> Result<(), Halt> {
    if let Some(reason) = refusal {
        return Err(Halt::failed(format!(
            "the path veth takes networks of the run's own, and it gets none: {reason}"
        )));
    }
    let target = (VETH_SERVER_NETWORK, PRIVATE_SERVER_PORT).into();
    let plan = AddressPlan::new(case.addresses, target, case.group_connections);
    match plan.capacity() {
        Some(capacity) if case.connections > capacity => Err(Halt::failed(format!(
            "{} connections in groups of {} take more addresses than a veth pair has, which is enough for \
             {capacity}: raise group_connections",
            case.connections, case.group_connections
        ))),
        _ => Ok(()),
    }
}

/// The reason says itself what to do about it.
fn no_network_for_ghosts(reason: &str) -> String {
    format!("a run with ghost peers needs a network of its own, and gets none: {reason}")
}

/// Where a server listens on the host's network: reachable from outside only where several
/// loopback destinations make it unavoidable.
fn host_address(case: &Case) -> Ipv4Addr {
    let is_one_destination =
        case.addresses == AddressMode::Sources || case.connections <= case.group_connections;
    if is_one_destination {
        Ipv4Addr::LOCALHOST
    } else {
        Ipv4Addr::UNSPECIFIED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fourtuple_spec::plan::{CaseDefaults, CaseRequest};

    fn case(peer: Peer) -> Case {
        let mut request = CaseRequest::new(Engine::Uring, 1_000);
        request.peer = Some(peer);
        let set = ("net.ipv4.tcp_syncookies".to_owned(), "1".to_owned());
        request.sysctls = Some([set].into());
        request
            .resolve(&CaseDefaults::new(vec![0], vec![1]))
            .unwrap()
    }

    #[test]
    fn a_veth_pair_takes_own_networks_and_has_so_many_addresses() {
        let mut case = case(Peer::Kernel);
        (case.connections, case.group_connections) = (655_341, 10);
        let refused = |case: &Case, refusal: Option<&String>| match check_veth(case, refusal) {
            Err(Halt::Failed(failure)) => failure.error,
            other => panic!("{other:?}"),
        };
        let error = refused(&case, None);
        assert!(error.contains("655340: raise group_connections"), "{error}");
        case.connections -= 1;
        assert!(check_veth(&case, None).is_ok());
        let error = refused(&case, Some(&"nobody may".to_owned()));
        assert!(error.contains("nobody may"), "{error}");
    }

    #[test]
    fn what_one_of_two_networks_does_not_know_is_not_known() {
        let one = NetworkCounters {
            segments_retransmitted: Some(2),
            listen_overflows: Some(1),
            listen_drops: None,
        };
        let both = sum(one, one);
        assert_eq!(both.segments_retransmitted, Some(4));
        assert_eq!((both.listen_overflows, both.listen_drops), (Some(2), None));
    }

    #[test]
    fn what_only_holds_is_steered_over_all_cores() {
        let mut held = case(Peer::Ghost);
        held.measure_ms = 0;
        let all = sysctls(&held, &|_| true);
        assert_eq!(all["net.core.rps_default_mask"], "3");
        assert!(!all.contains_key("net.ipv4.tcp_child_ehash_entries"));
        held.connections = 5_000_000;
        let all = sysctls(&held, &|_| true);
        assert_eq!(all["net.ipv4.tcp_child_ehash_entries"], "8388608");
        assert!(!sysctls(&case(Peer::Ghost), &|_| true).contains_key("net.core.rps_default_mask"));
    }

    #[test]
    fn another_program_may_have_the_port() {
        let mut case = case(Peer::Kernel);
        let port = "net.ipv4.ip_unprivileged_port_start";
        assert!(!sysctls(&case, &|_| true).contains_key(port));
        case.engine = Some(Engine::Foreign);
        assert_eq!(sysctls(&case, &|_| true)[port], "0");
    }

    #[test]
    fn cores_are_written_in_words_the_last_first() {
        assert_eq!(cpu_mask([0, 1].into_iter()), "3");
        assert_eq!(cpu_mask([31, 32].into_iter()), "1,80000000");
        assert_eq!(cpu_mask([64].into_iter()), "1,00000000,00000000");
    }

    #[test]
    fn a_network_gets_what_ghosts_need_and_this_kernel_has() {
        let all = sysctls(&case(Peer::Ghost), &|_| true);
        assert_eq!(all["net.ipv4.tcp_invalid_ratelimit"], "0");
        assert_eq!(all["net.ipv4.tcp_orphan_retries"], "3");
        assert_eq!(
            all["net.ipv4.tcp_syncookies"], "1",
            "the case has the last word"
        );
        let old_kernel = sysctls(&case(Peer::Ghost), &|name| !name.contains("ratelimit"));
        assert!(!old_kernel.contains_key("net.ipv4.tcp_invalid_ratelimit"));
        assert_eq!(sysctls(&case(Peer::Kernel), &|_| true).len(), 1);
        let asked_for = sysctls(&case(Peer::Kernel), &|_| false);
        assert_eq!(
            asked_for.len(),
            1,
            "what a case asks for is not left out in silence"
        );
    }
}
