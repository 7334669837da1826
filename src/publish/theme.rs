//! The colours of a chart on a light and on a dark ground.
//!
//! Engines take their colours from the Okabe–Ito palette, which stays apart under the common forms of
//! colour blindness; on the dark ground each is lightened until it has a contrast of 4.5 or more.

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
    engines: [&'static str; 6],
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
        "#c94f00", "#0067a8", "#00805c", "#a8518a", "#8a6d00", "#3a8fc2",
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
        "#ff8f4a", "#5eb8f0", "#2fc79b", "#e39ac6", "#e3c13c", "#9ad1f2",
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
            Engine::Epoll => self.engines[1],
            Engine::Tokio => self.engines[2],
            Engine::UringPoll => self.engines[3],
            Engine::UringHybrid => self.engines[4],
            Engine::Spin | Engine::Stack => self.floor,
            Engine::Null => self.control,
            // Provisional: one colour for each follows with the charts that have them all.
            _ => self.muted,
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

#[cfg(test)]
mod tests {
    use super::*;
    use fourtuple_spec::engine::PROFILES;

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
            for ink in inks.iter().chain(&theme.engines[..5]) {
                let found = contrast(ink, theme.background);
                assert!(found >= 4.5, "{ink} on {} has {found:.2}", theme.name);
            }
        }
    }

    #[test]
    fn engines_that_serve_differ_in_colour() {
        let serving: Vec<_> = PROFILES.iter().filter(|row| row.echoes).collect();
        for (index, a) in serving.iter().enumerate() {
            for b in &serving[index + 1..] {
                assert_ne!(LIGHT.engine(a.engine), LIGHT.engine(b.engine));
            }
        }
    }
}
