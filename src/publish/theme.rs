//! The colours of a chart on a light and on a dark ground.
//!
//! Eight hues, apart under the common forms of colour blindness as far as eight can be (the Okabe–Ito palette,
//! darkened or lightened until each has a contrast of 4.5 or more to its ground), are for what engines are made
//! of: each of ours has one, the epolls share one, and so do tokio's runtimes and those on io_uring. Engines of
//! one hue differ in their dashes.

use fourtuple_spec::Engine;

/// The engine without an event loop: what the kernel's TCP costs on its own.
pub const FLOOR: Engine = Engine::Spin;

/// The colours of one ground.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    /// Its name in file names.
    pub name: &'static str,
    /// The ground itself.
    pub background: &'static str,
    /// Titles and values.
    pub text: &'static str,
    /// Subtitles, axis labels, captions.
    pub muted: &'static str,
    /// Gridlines.
    pub grid: &'static str,
    /// The axis line.
    pub axis: &'static str,
    /// The floor.
    pub floor: &'static str,
    /// The A/A arm and the memory control.
    pub control: &'static str,
    /// Opacity of an interval's band.
    pub band_opacity: f64,
    engines: [&'static str; 14],
    parts: [&'static str; 10],
}

/// Dark ink on white.
pub const LIGHT: Theme = Theme {
    name: "light",
    background: "#ffffff",
    text: "#1b1f24",
    muted: "#59636e",
    grid: "#e6e9ed",
    axis: "#9aa4af",
    floor: "#3d444d",
    control: "#8b949e",
    band_opacity: 0.15,
    engines: [
        "#c94f00", "#a8518a", "#8a6d00", "#0067a8", "#2b7cb0", "#4a72c8", "#00805c", "#3d7f2c",
        "#1a7f95", "#8c5a44", "#a0653e", "#74524a", "#6b6a1a", "#6a737d",
    ],
    parts: [
        "#0072b2", "#56b4e9", "#009e73", "#e69f00", "#cc79a7", "#a6761d", "#b5bcc4", "#7d8791",
        "#d55e00", "#7a5195",
    ],
};

/// Light ink on the dark ground that code hosts use.
pub const DARK: Theme = Theme {
    name: "dark",
    background: "#0d1117",
    text: "#f0f3f6",
    muted: "#a3adb8",
    grid: "#21272f",
    axis: "#5b6673",
    floor: "#c6ced6",
    control: "#848d97",
    band_opacity: 0.22,
    engines: [
        "#ff8f4a", "#e39ac6", "#e3c13c", "#5eb8f0", "#9ad1f2", "#8fb4ff", "#2fc79b", "#8fd16a",
        "#63c7dc", "#c99a86", "#e0b59f", "#b08a7c", "#c2c062", "#9aa5b1",
    ],
    parts: [
        "#2f8fd0", "#7cc7f2", "#27b088", "#e9ac2b", "#d98fb8", "#b98a3c", "#8a949e", "#565f69",
        "#f0793a", "#a37fc4",
    ],
};

/// Which of a stack's parts a colour is for; the order is that of `parts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The slab cache of this rank: the four that every socket has, then the largest others.
    Cache(usize),
    /// All other slab caches.
    OtherCaches,
    /// Kernel memory that is in no slab cache, or cannot be told apart.
    OtherKernel,
    /// User memory of the server.
    ServerUser,
    /// User memory of the client.
    ClientUser,
}

/// How many slab caches have a colour of their own.
pub const CACHES_NAMED_MAX: usize = 6;

impl Theme {
    /// The colour of an engine, the same on every chart.
    pub fn engine(&self, engine: Engine) -> &'static str {
        // By name and not by the order of engines, so that a new one changes no other's colour.
        match engine {
            Engine::Uring => self.engines[0],
            Engine::UringPoll => self.engines[1],
            Engine::UringHybrid => self.engines[2],
            Engine::Epoll => self.engines[3],
            Engine::EpollEt => self.engines[4],
            Engine::EpollInRing => self.engines[5],
            Engine::Tokio => self.engines[6],
            Engine::TokioMulti => self.engines[7],
            Engine::Mio => self.engines[8],
            Engine::Monoio => self.engines[9],
            Engine::Glommio => self.engines[10],
            Engine::Compio => self.engines[11],
            Engine::Threads => self.engines[12],
            Engine::Foreign => self.engines[13],
            Engine::Spin | Engine::Stack => self.floor,
            Engine::Null => self.control,
        }
    }

    /// The colour of one part of a stack.
    pub fn part(&self, part: Part) -> &'static str {
        match part {
            Part::Cache(rank) => self.parts[rank.min(CACHES_NAMED_MAX - 1)],
            Part::OtherCaches => self.parts[6],
            Part::OtherKernel => self.parts[7],
            Part::ServerUser => self.parts[8],
            Part::ClientUser => self.parts[9],
        }
    }
}

/// The dashes of an engine's line, in SVG's words: what tells it from the others of its hue.
pub fn dashes(engine: Engine) -> &'static str {
    match engine {
        Engine::EpollEt | Engine::TokioMulti | Engine::Glommio => FOREIGN_DASHES[1],
        Engine::EpollInRing | Engine::Compio => FOREIGN_DASHES[2],
        _ => "",
    }
}

/// The dashes of foreign servers in their order, from which the sixth on begins anew: their names tell.
pub const FOREIGN_DASHES: [&str; 5] = ["", "9 4", "3 3", "9 3 2 3", "14 5"];

#[cfg(test)]
mod tests {
    use super::*;
    use fourtuple_spec::engine::{PROFILES, Role};

    /// WCAG 2.2, relative luminance.
    fn luminance(colour: &str) -> f64 {
        let channel = |at: usize| {
            let share = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if share <= 0.040_45 {
                share / 12.92
            } else {
                ((share + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn every_ink_that_text_is_set_in_can_be_read_on_its_ground() {
        for theme in [LIGHT, DARK] {
            let inks = [theme.text, theme.muted, theme.floor];
            for ink in inks.iter().chain(&theme.engines) {
                let found = contrast(ink, theme.background);
                assert!(found >= 4.5, "{ink} on {} has {found:.2}", theme.name);
            }
        }
    }

    #[test]
    fn engines_that_are_compared_differ_in_colour_and_ours_in_hue() {
        let compared = PROFILES
            .iter()
            .filter(|row| matches!(row.role, Role::Subject | Role::Baseline));
        let compared: Vec<_> = compared.collect();
        for (index, a) in compared.iter().enumerate() {
            for b in &compared[index + 1..] {
                for theme in [LIGHT, DARK] {
                    assert_ne!(theme.engine(a.engine), theme.engine(b.engine));
                }
            }
            assert!(a.role == Role::Baseline || dashes(a.engine).is_empty());
        }
    }
}
