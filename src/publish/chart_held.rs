//! Connections held on one machine as bars: by engine, kernel peers and ghosts under each other.

use super::facts;
use super::format;
use super::frame::{self, MARGIN, SMALL};
use super::group::kebab;
use super::held::{Held, HeldHere, held};
use super::labels::text_width;
use super::scale::{Scale, linear_ticks};
use super::svg::{Anchor, Span, Stroke, Svg, WIDTH};
use super::theme::Theme;
use fourtuple_spec::{Engine, Peer, Record};

/// What it shows, for those who do not see it.
pub const ALTERNATIVE: &str =
    "Connections held on one machine, by engine and kind of peer, with what stopped each";

const TOP: f64 = 104.0;
const ROW: f64 = 30.0;
/// Between the rows of two engines.
const GAP: f64 = 10.0;

/// Draws the chart of one result, where how many are held was its question.
pub fn of_result(records: &[Record], theme: &Theme) -> Option<String> {
    let all: Vec<&Record> = records.iter().collect();
    let found = held(&all)?;
    found.all.iter().find_map(Held::limiter)?;
    draw(&all, theme)
}

/// Draws the chart; `None` where no run held and proved anything.
pub fn draw(records: &[&Record], theme: &Theme) -> Option<String> {
    let found = held(records)?;
    let runs: Vec<&Record> = found.all.iter().map(|one| one.record).collect();
    let mut svg = Svg::new(theme);
    let title = title(&found);
    let memory = found.memory_bytes.map(format::memory_bytes);
    let memory = memory.map_or_else(String::new, |bytes| format!("{bytes} of memory"));
    let subtitle = facts::origin(&runs, &memory, None).replace("·  ·", "·");
    frame::heading(&mut svg, &title, &subtitle);
    let middles = middles(&found.all);
    let bottom = middles.last().copied().unwrap_or(TOP) + ROW * 0.6;
    svg.height = bottom + 84.0;
    let scale = scale(&found);
    grid(&mut svg, &scale, bottom);
    let mut engine = None;
    for (one, middle) in found.all.iter().zip(middles) {
        let is_first = engine != Some(one.engine);
        engine = Some(one.engine);
        bar(&mut svg, one, is_first, &scale, middle);
    }
    frame::caption(&mut svg, &caption(&found));
    Some(svg.finish(&title, &format!("{subtitle}. {}", describe(&found))))
}

fn title(found: &HeldHere<'_>) -> String {
    let has = |peer: Peer| found.all.iter().any(|one| one.peer == peer);
    let with = match (has(Peer::Kernel), has(Peer::Ghost)) {
        (true, true) => "by peer kind",
        (false, _) => "with ghost peers",
        (true, false) => "with kernel peers",
    };
    format!("TCP connections held on one machine, {with}")
}

/// Where the bars lie: those of one engine closer to each other.
fn middles(all: &[Held<'_>]) -> Vec<f64> {
    let mut y = TOP + ROW * 0.6;
    let mut engine: Option<Engine> = None;
    let place = |one: &Held<'_>| {
        y += match engine {
            None => 0.0,
            Some(known) if known == one.engine => ROW,
            Some(_) => ROW + GAP,
        };
        engine = Some(one.engine);
        y
    };
    all.iter().map(place).collect()
}

/// Room on the left for engine and peer, on the right for the longest label of the longest bar.
fn scale(found: &HeldHere<'_>) -> Scale {
    let names = found
        .all
        .iter()
        .map(|one| text_width(one.engine.name(), 15.0));
    let left = MARGIN + names.fold(60.0, f64::max) + text_width("kernel peers", SMALL) + 30.0;
    let labels = found.all.iter().map(|one| {
        let (count, end) = label(one);
        text_width(&count, 15.0) + text_width(&end, SMALL) + 20.0
    });
    let right = WIDTH - MARGIN - labels.fold(120.0, f64::max).min(430.0);
    let most = found.all.iter().map(|one| one.connections).max();
    Scale::linear(0.0, f64::from(most.unwrap_or(1)), (left, right))
}

fn grid(svg: &mut Svg, scale: &Scale, bottom: f64) {
    let theme = svg.theme;
    let ticks = linear_ticks(scale.largest());
    let within = ticks.iter().filter(|tick| **tick <= scale.largest());
    for tick in within {
        let x = scale.position(*tick);
        svg.line((x, TOP), (x, bottom), Stroke::solid(theme.grid, 1.0));
        let span = Span {
            content: &format::short(*tick),
            fill: theme.muted,
            size: SMALL,
            is_bold: false,
        };
        svg.text(x, bottom + 19.0, Anchor::Middle, span);
    }
}

fn bar(svg: &mut Svg, one: &Held<'_>, is_first: bool, scale: &Scale, middle: f64) {
    let theme = svg.theme;
    let colour = theme.engine(one.engine);
    let plain = |content, fill, size, is_bold| Span {
        content,
        fill,
        size,
        is_bold,
    };
    if is_first {
        let name = plain(one.engine.name(), colour, 15.0, true);
        svg.text(MARGIN, middle + 5.0, Anchor::Start, name);
    }
    let (from, to) = (scale.start(), scale.position(f64::from(one.connections)));
    let peers = format!("{} peers", kebab(&one.peer));
    let peers = plain(&peers, theme.text, SMALL, false);
    svg.text(from - 10.0, middle + 4.5, Anchor::End, peers);
    let fill = match one.peer {
        Peer::Ghost => colour.to_owned(),
        Peer::Kernel => svg.hatching(&format!("held-{}", one.engine), colour, 45),
    };
    let half = ROW * 0.36;
    let size = ((to - from).max(1.5), half * 2.0);
    svg.rect((from, middle - half), size, &fill);
    let (count, end) = label(one);
    let count = plain(&count, theme.text, 15.0, true);
    let end = plain(&end, theme.muted, SMALL, false);
    svg.spans(to + 9.0, middle + 5.0, Anchor::Start, true, &[count, end]);
}

/// How many, and beside it what ended it and what each took.
fn label(one: &Held<'_>) -> (String, String) {
    let mut end = format::shortened(&one.end(), 34);
    if let Some(bytes) = one.bytes() {
        end.push_str(&format!(", {} each", format::bytes(bytes)));
    }
    (format::whole(f64::from(one.connections)), end)
}

fn caption(found: &HeldHere<'_>) -> Vec<String> {
    let has = |peer: Peer| found.all.iter().any(|one| one.peer == peer);
    let mut sentences = Vec::new();
    if has(Peer::Kernel) {
        sentences.push("Hatched: kernel peers, both ends are sockets of this machine.".to_owned());
    }
    if has(Peer::Ghost) {
        sentences.push("Full: ghosts, the server's end alone.".to_owned());
    }
    sentences.push(
        "Each proved live by a verified echo; bytes are the kernel's and both processes'."
            .to_owned(),
    );
    if found.has_others {
        sentences.push("Runs on other machines are left out.".to_owned());
    }
    sentences
}

fn describe(found: &HeldHere<'_>) -> String {
    let sentence = |one: &Held<'_>| {
        let (count, end) = label(one);
        format!(
            "{} with {} peers: {count}, {end}.",
            one.engine,
            kebab(&one.peer)
        )
    };
    found.all.iter().map(sentence).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::super::theme::{DARK, LIGHT};
    use super::*;

    #[test]
    fn it_names_both_kinds_and_what_stopped_the_growth() {
        let records = [
            fixture::ceiling(Engine::Uring, 2_400_000),
            fixture::ghost(fixture::ceiling(Engine::Uring, 5_400_000)),
            fixture::held(Engine::Epoll, 100_000, 0),
        ];
        let all: Vec<&Record> = records.iter().collect();
        for theme in [LIGHT, DARK] {
            let chart = draw(&all, &theme).unwrap().replace('\u{a0}', " ");
            for part in [
                "by peer kind",
                ">2,400,000<",
                ">5,400,000<",
                "stopped by memory",
                "held, not the limit",
                ">kernel peers<",
                ">ghost peers<",
                "24 GiB of memory",
            ] {
                assert!(chart.contains(part), "{part}");
            }
        }
    }

    #[test]
    fn without_ghosts_it_says_kernel_peers_and_nothing_of_ghosts() {
        let records = [fixture::ceiling(Engine::Uring, 2_400_000)];
        let chart = of_result(&records, &LIGHT).unwrap();
        assert!(chart.contains("with kernel peers") && !chart.contains("ghost"));
        assert!(
            of_result(&fixture::sweep(1), &LIGHT).is_none(),
            "nothing was stopped"
        );
    }
}
