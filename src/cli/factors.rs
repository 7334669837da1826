//! How an engine does what it does, one flag a factor.

use crate::values;
use clap::{Args, ValueEnum};
use fourtuple_spec::factors::{self, Buffers, DescriptorKind, Receive, Send, Taskrun};
use fourtuple_spec::plan::CaseRequest;

/// The heading under which `--help` lists them.
const FACTORS: &str = "Factors of an engine";

/// How an engine does what it does. What is left out is the engine as it is meant to be used.
#[derive(Args, Debug)]
pub struct Factors {
    /// How connections are accepted.
    #[arg(long, value_enum, help_heading = FACTORS)]
    pub accept: Option<Accept>,
    /// How a connection waits for data and gets it.
    #[arg(long, value_enum, help_heading = FACTORS)]
    pub recv: Option<Recv>,
    /// Where what is received lies.
    #[arg(long, value_enum, help_heading = FACTORS)]
    pub buffers: Option<BufferWord>,
    /// Where endpoints live.
    #[arg(long, value_enum, help_heading = FACTORS)]
    pub descriptors: Option<Descriptor>,
    /// When the kernel runs what completes a request.
    #[arg(long, value_enum, help_heading = FACTORS)]
    pub taskrun: Option<TaskrunWord>,
    /// A kernel thread takes submissions, on a core that is always busy: true or false [default: false].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", help_heading = FACTORS)]
    pub sqpoll: Option<bool>,
    /// How echoes are sent.
    #[arg(long, value_enum, help_heading = FACTORS)]
    pub send: Option<SendWord>,
    /// Completions that a wait asks for: 1 to 4096 [default: 1].
    #[arg(long, value_name = "N", value_parser = values::count, help_heading = FACTORS)]
    pub wait: Option<u32>,
    /// Microseconds that the server watches before it sleeps: 0 to 1000000 [default: 0].
    #[arg(long, value_name = "MICROSECONDS", help_heading = FACTORS)]
    pub spin: Option<u32>,
}

impl Factors {
    /// Puts them into a request.
    pub fn ask(&self, request: &mut CaseRequest) {
        request.accept = self.accept.map(Into::into);
        request.recv = self.recv.map(Into::into);
        request.buffers = self.buffers.map(Into::into);
        request.descriptors = self.descriptors.map(Into::into);
        request.taskrun = self.taskrun.map(Into::into);
        request.sqpoll = self.sqpoll;
        request.send = self.send.map(Into::into);
        request.wait = self.wait;
        request.spin = self.spin;
    }
}

/// Words for a type of the data model: each with its line of help and what it stands for.
macro_rules! words {
    ($name:ident is $model:path { $($(#[doc = $help:literal])+ $word:ident,)+ }) => {
        #[doc = concat!("Words for [`", stringify!($model), "`].")]
        #[derive(Clone, Copy, Debug, ValueEnum)]
        pub enum $name { $($(#[doc = $help])+ $word,)+ }

        impl From<$name> for $model {
            fn from(word: $name) -> Self {
                match word { $($name::$word => Self::$word,)+ }
            }
        }
    };
}

words!(Accept is factors::Accept {
    /// One request, many connections (default).
    Multishot,
    /// A request a connection.
    Oneshot,
});

words!(Recv is Receive {
    /// One receive stays armed (default).
    Multishot,
    /// A receive is armed for each completion.
    Oneshot,
    /// A poll stays armed, and a receive is made when there is data: the engine uring-poll.
    Poll,
    /// As multishot, and one completion may fill several buffers (Linux 6.10).
    Bundle,
});

words!(BufferWord is Buffers {
    /// In a ring of buffers that all connections share (default).
    Ring,
    /// In a ring of large buffers, taken piece by piece (Linux 6.12).
    RingIncremental,
    /// In a registered buffer of each connection's own.
    Fixed,
});

words!(Descriptor is DescriptorKind {
    /// In the ring's own table (default).
    Direct,
    /// In the process's: an ordinary descriptor each.
    Plain,
});

words!(TaskrunWord is Taskrun {
    /// When the server asks for completions (default).
    Defer,
    /// When it enters the kernel for whatever reason.
    Coop,
    /// At once: the server is interrupted.
    Default,
});

words!(SendWord is Send {
    /// Copied into the socket (default).
    Send,
    /// From the server's own pages, which the kernel gives back later.
    ZeroCopy,
    /// Several buffers by one request (Linux 6.10).
    Bundle,
});
