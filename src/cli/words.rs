//! Words for what the data model has types for.

use clap::ValueEnum;
use fourtuple_spec::case::{self, AddressMode, ClientKind, HotPlacement, NetworkChoice};

/// Words for [`ClientKind`].
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Client {
    /// The io_uring load generator.
    Uring,
    /// Plain recv and send in turn: the floor's half, for few connections.
    Spin,
}

impl From<Client> for ClientKind {
    fn from(client: Client) -> Self {
        match client {
            Client::Uring => Self::Uring,
            Client::Spin => Self::Spin,
        }
    }
}

/// Words for [`case::Peer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// Real sockets of this machine's kernel (default).
    Kernel,
    /// A TCP of this program's own behind a TUN device, which holds no sockets: the server's alone are there.
    Ghost,
}

impl From<Peer> for case::Peer {
    fn from(peer: Peer) -> Self {
        match peer {
            Peer::Kernel => Self::Kernel,
            Peer::Ghost => Self::Ghost,
        }
    }
}

/// Words for [`case::Mode`].
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Mode {
    /// The echo of the one before: how much the server can do (default).
    Closed,
    /// A schedule that nothing holds up: how long a client waits at a given rate.
    Open,
    /// A new connection: each carries one message and is closed.
    Churn,
}

impl From<Mode> for case::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Closed => Self::Closed,
            Mode::Open => Self::Open,
            Mode::Churn => Self::Churn,
        }
    }
}

/// Words for [`case::Path`].
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Path {
    /// The loopback device (default).
    Lo,
    /// A pair of virtual Ethernet devices with an MTU of 1500.
    Veth,
}

impl From<Path> for case::Path {
    fn from(path: Path) -> Self {
        match path {
            Path::Lo => Self::Lo,
            Path::Veth => Self::Veth,
        }
    }
}

/// Words for [`case::Schedule`].
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Schedule {
    /// Independently of each other, as many clients' do (default).
    Poisson,
    /// At equal gaps.
    Uniform,
}

impl From<Schedule> for case::Schedule {
    fn from(schedule: Schedule) -> Self {
        match schedule {
            Schedule::Poisson => Self::Poisson,
            Schedule::Uniform => Self::Uniform,
        }
    }
}

/// Words for [`case::TcpOptions`].
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum TcpOptions {
    /// Segment size and window scale alone (default).
    Plain,
    /// Timestamps too, in every segment.
    Timestamps,
    /// Selective acknowledgement too.
    Sack,
    /// Both, as a kernel's client offers.
    TimestampsSack,
}

impl From<TcpOptions> for case::TcpOptions {
    fn from(options: TcpOptions) -> Self {
        match options {
            TcpOptions::Plain => Self::Plain,
            TcpOptions::Timestamps => Self::Timestamps,
            TcpOptions::Sack => Self::Sack,
            TcpOptions::TimestampsSack => Self::TimestampsSack,
        }
    }
}

/// Words for [`AddressMode`].
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Addresses {
    /// Many destinations 127.0.0.k on one port, no bind on the client (default).
    Destinations,
    /// One server address and port, many client addresses.
    Sources,
}

impl From<Addresses> for AddressMode {
    fn from(addresses: Addresses) -> Self {
        match addresses {
            Addresses::Destinations => Self::Destinations,
            Addresses::Sources => Self::Sources,
        }
    }
}

/// Words for [`HotPlacement`].
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Placement {
    /// Evenly over all of them (default).
    Spread,
    /// The ones that were opened first.
    First,
}

impl From<Placement> for HotPlacement {
    fn from(placement: Placement) -> Self {
        match placement {
            Placement::Spread => Self::Spread,
            Placement::First => Self::First,
        }
    }
}

/// Words for [`NetworkChoice`].
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Network {
    /// A network namespace of the run's own (default).
    Private,
    /// The host's network as it is.
    Host,
}

impl From<Network> for NetworkChoice {
    fn from(network: Network) -> Self {
        match network {
            Network::Private => Self::Private,
            Network::Host => Self::Host,
        }
    }
}
