//! What `--help` says after the flags of each verb. Its lines fit 80 columns as they are.

use fourtuple_spec::engine::PROFILES;

pub const AFTER_HELP: &str = "\
Exit status:
  0    done
  1    the answer is no: a limit that stands in the way, or a run whose numbers
       must not be quoted
  2    the words were wrong: a flag, a plan, a core that does not exist
  3    a run failed, or something it needs could not be had
  130  interrupted; what was recorded is kept

Examples:
  fourtuple run --engine uring --connections 10k
  fourtuple hold --engine uring-poll --connections 1M --peer ghost
  fourtuple sweep standard
  fourtuple sweep my-plan.toml --out results/mine
  fourtuple doctor --connections 1M
  fourtuple claims";

pub const RUN_HELP: &str = "\
A fresh server and a fresh client process, each pinned to a core of its own,
meet in a private network namespace: nothing on this machine is changed, and no
root is needed. Every connection is opened, left at rest while memory is read,
proved live by a verified echo, and then kept busy for the measured span.

With --server-command any program that echoes is the server: on the same cores,
in the same network, all of its processes and threads watched alike. {port} in
it is the port to listen on, {address} the address. It has to stay in the
foreground, and is killed with all that it started when the run is over.

With --peer ghost the clients hold no sockets: a TCP of this program's own
behind a TUN device speaks for all of them. The bytes are the server's alone,
memory holds twice as many connections, and one core makes more load. The path
loses nothing unless told to. This needs a private network and /dev/net/tun.

Examples:
  fourtuple run --engine uring --connections 1M
  fourtuple run --engine epoll --connections 100 --message-bytes 4KiB --depth 8
  fourtuple run --engine tokio --connections 10k --json > record.json
  fourtuple run --engine uring --connections 1k \\
      --sysctl net.ipv4.tcp_congestion_control=reno
  fourtuple run --engine epoll --connections 1k --rate 20k
  fourtuple run --engine uring --connections 100 --peer ghost --loss-ppm 1k
  fourtuple run --engine uring --connections 100 --recv oneshot --spin 50
  fourtuple run --engine epoll --connections 100 --mode churn
  fourtuple run --server-command \"python3 examples/echo.py {port}\" \\
      --connections 100";

pub const HOLD_HELP: &str = "\
Opens the connections, reads where their memory lies, has every one of them
echo once, holds all of them idle, and has every one echo once more. Growth
stops before memory is used up; a shortage that can be foreseen is refused, and
--force tries.

With --until-full connections are opened until memory is nearly used up: how
many there are by then is the answer, and the record names what stopped it.

With --peer ghost the server's ends are all that is held: a TCP of this
program's own behind a TUN device speaks for clients that have no sockets.

With --price-list the server's endpoints are held in one state after the other,
by ghosts too, and the table says what each state takes.

Examples:
  fourtuple hold --engine uring --connections 1M
  fourtuple hold --engine uring-poll --until-full
  fourtuple hold --engine uring-poll --connections 5M --peer ghost
  fourtuple hold --engine uring --connections 1M \\
      --rounds 1k,4k,16k,64k,1M --duration 10m
  fourtuple hold --price-list --out results/prices";

pub const SWEEP_HELP: &str = "\
Records are appended to DIR/records.jsonl as runs finish. An interrupted sweep
is resumed by the same command: cases that have a valid record are not run
again. Without --out the directory is results/<date>-<host>-<plan>.

A run that something else on this machine disturbed is made once more, right
away; both are kept, and the second counts. A plan that says until_interval
goes on until its intervals are that narrow, or --budget is used up.

Plans that come with the program:
  standard       the main job: every engine, 1 to 20,000 connections
  quick          does everything work here
  million        bytes as a slope and a model, and the million it predicts
  ceiling        how many connections memory holds
  price-list     what the server's end takes in each state
  window         how many of a million should be active at once
  hot            what a million idle connections cost 10,000 busy ones
  idle-hot       every engine: a hot thousand among 100,000
  ghost          every engine, judged by ghost and by kernel peers
  ghost-ratio    how much more load ghosts make than a kernel's client
  ghost-ceiling  how many of the server's ends memory holds
  ghost-million  bytes of the server's end, up to 5,000,000
  ghost-hot      a hot thousand beside up to 5,000,000 idle ones
  ghost-open     latency at rates that nothing holds up
  comparison     every engine that echoes, 1 to 10,000 connections
  comparison-100k  the same at 100,000
  factors        io_uring, one factor at a time
  wait           one connection: servers that sleep, and that watch
  sizes          messages of 1 byte to 64 KB
  depths         1 to 64 messages in flight on a connection
  churn          connect, one echo, close: connections a second
  veth           two namespaces instead of the loopback device
  bursts         all connections send at once, then pause
  workers        one server thread and two
  open           latency at 20 to 90 % of each engine's own capacity
  aa             40 points, each against itself: what is found to differ

Examples:
  fourtuple sweep standard
  fourtuple sweep standard --quick    about a minute, not for quoting
  fourtuple sweep comparison --budget 20m
  fourtuple sweep plans/mine.toml --out results/mine";

pub const SERVE_HELP: &str = "\
Prints the address that it listens on (port 0 lets the kernel pick one), then
serves until Ctrl-C, then prints what it counted. Anyone who can reach the
address can use it.

Examples:
  fourtuple serve --engine uring --listen 127.0.0.1:7000
  fourtuple serve --engine epoll --listen [::]:7000";

pub const LOAD_HELP: &str = "\
Opens the connections, proves each live, and measures, from this machine's
network. Nothing is known of the server but its echoes: its memory and CPU are
null in the record. A server that corrupts, drops, reorders or repeats bytes is
found out, with the connection, the message and the byte.

With --peer ghost server and load have to be in a network namespace of their
own. There a device is made for the ghosts, on which the server is 198.18.0.1:
it has to listen on every address.

Examples:
  fourtuple load --target 127.0.0.1:7000 --connections 100
  fourtuple load --target [::1]:7000 --connections 1k --duration 10s --json
  unshare -rn sh -c 'ip link set lo up; python3 echo.py 7000 & sleep 1
      fourtuple load --peer ghost --target 198.18.0.1:7000 --connections 1000
      kill $!'";

pub const REPORT_HELP: &str = "\
Nothing is measured: the records are the only source, so that a report can be
drawn again by a later version.

With --front, a README's part between the lines `<!-- measured: begin -->` and
`<!-- measured: end -->` is made anew, one section a directory; the rest of the
file is left alone.

Examples:
  fourtuple report results/2026-01-31-host-standard
  fourtuple report results/2026-01-31-host-standard results/million \\
      --front README.md";

pub const DOCTOR_HELP: &str = "\
Reads every limit that can stop a machine at N connections, and says how many
each of them allows a server and a client, the narrowest first: where it was
read, what it looks like when it is met, how it is raised now and for good.
What cannot be read is unknown, with the reason. Nothing is touched.

Memory is reckoned by what a connection took in the largest run on this machine
in --results, or else by the figures that come with this program.

Without --pid the answer is for a process that is started from here. Each end
is asked about by itself: a machine that holds both ends of its connections
needs the memory of both.

Exit status: 0 the answer, or yes; 1 no, there cannot be --connections more;
2 the words were wrong; 3 the limits could not be read, or no such process.

Examples:
  fourtuple doctor
  fourtuple doctor --connections 1M --as server
  fourtuple doctor --connections 1M --engine uring --destinations 20
  fourtuple doctor --pid 1234
  fourtuple doctor --json | jq .ladders.server.binding";

pub const CLAIMS_HELP: &str = "\
A widely republished article explains why 65,535 is not the limit of TCP
connections. Each of its statements is an experiment here, in a private network
namespace: the prediction is fixed before, the verdict rests on what was
counted, and the evidence is printed with it. Besides confirmed and refuted, a
claim is incomplete if it leaves out what decides whether it holds,
inconclusive if it was tried and what came of it decides nothing, and not run
if it could not be tried here. A refuted claim is an answer: the exit status
is 0.

With --out the records, the verdicts (trial.json) and a page are kept in DIR.
Claims that are tried again there replace themselves, and the others stay.

Claims:
  server-ports   a 16-bit port does not bound a server's connections
  four-tuple     a connection is named by two addresses and two ports
  client-ports   a client opens 65,535 connections at most
  port-reuse     one listening port, a socket of its own for each connection
  two-to-48      2^32 x 2^16 connections, in theory
  descriptors    the limit on descriptors bounds a server
  memory         memory is the practical limit
  comfortable    hundreds of thousands of connections are comfortable

Examples:
  fourtuple claims
  fourtuple claims --only client-ports
  fourtuple claims --full --out results/claims";

pub const COMPARE_HELP: &str = "\
The ratio is always B to A: \"faster\" is said of B. In what the environments
of A and B differ is printed first of all.

Two arms of one directory were measured in turn, so they are compared repeat by
repeat. A difference has to be larger than that of an arm and itself in the
same sweep (the A/A arm), and its interval has to leave 1 out; where there are
runs enough for an exact test of all comparisons together, it has to agree.

Two directories were measured at different hours, and maybe on two machines:
all that is in the difference. What they can agree on are ratios between their
engines, which are compared as well: that is the last line.

With --aa every A/A pair is judged by its interval and the test, for the A/A
width is what it measures: how often they find a difference that is none.

An arm is called as in tables: uring, \"uring, spin 50\", redis.

Examples:
  fourtuple compare results/mine:uring results/mine:epoll
  fourtuple compare results/monday results/tuesday
  fourtuple compare results/old results/new --arm uring --all
  fourtuple compare --aa results/mine
  fourtuple compare results/old results/new --json | jq .engine_ratios";

/// Every engine, a line each.
pub fn engines() -> String {
    let rows = PROFILES
        .iter()
        .map(|profile| format!("\n  {:<13} {}", profile.name, profile.summary));
    format!("The engine that serves:{}", rows.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wrapped_at_80_columns() {
        for text in [
            AFTER_HELP,
            RUN_HELP,
            HOLD_HELP,
            SWEEP_HELP,
            SERVE_HELP,
            LOAD_HELP,
            REPORT_HELP,
            DOCTOR_HELP,
            CLAIMS_HELP,
            COMPARE_HELP,
        ] {
            for line in text.lines() {
                assert!(line.chars().count() < 80, "{line}");
            }
        }
    }
}
