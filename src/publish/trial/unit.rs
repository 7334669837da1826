//! Numbers of claims in their units, as people read them.

use super::super::format;

/// A number with its unit: `4,174 B`, `12 ms`, `70 %`, `1 connection`.
pub fn in_unit(value: f64, unit: &str) -> String {
    match unit {
        "" => plain(value),
        // A large sum is read in GB, what a connection takes to the byte.
        "B" if value.abs() >= 1e6 => format::decimal_bytes(value),
        "B" => format::bytes(value),
        "ns" => format::duration_ns(value),
        "ms" => format::duration_ns(value * 1e6),
        "s" => seconds(value),
        "share" => format::percent(value),
        unit if value == 1.0 => format!("1 {}", singular(unit)),
        unit => format!("{} {unit}", plain(value)),
    }
}

/// The same of a number that may be missing.
pub fn shown(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(|| format::MISSING.to_owned(), |value| in_unit(value, unit))
}

/// A time: `3.4 s`, `2 min 11 s`.
pub fn seconds(value: f64) -> String {
    if value < 120.0 {
        return format::duration_ns(value * 1e9);
    }
    let whole = value.round();
    format!("{:.0} min {:.0} s", (whole / 60.0).floor(), whole % 60.0)
}

fn singular(unit: &str) -> &str {
    let stem = unit.strip_suffix("es").filter(|stem| stem.ends_with("ss"));
    match stem {
        Some(stem) => stem,
        // It may be one already: `address`.
        None if unit.ends_with("ss") => unit,
        None => unit.strip_suffix('s').unwrap_or(unit),
    }
}

/// A count without decimals, anything else with two.
fn plain(value: f64) -> String {
    if value.fract() == 0.0 || value.abs() >= 1_000.0 {
        format::whole(value)
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_their_units() {
        for (value, unit, words) in [
            (4_174.0, "B", "4,174 B"),
            (1.26e18, "B", "1.26 EB"),
            (12.0, "ms", "12 ms"),
            (0.703, "share", "70 %"),
            (1.5, "", "1.50"),
            (131.0, "s", "2 min 11 s"),
            (179.9, "s", "3 min 0 s"),
            (1.0, "connections", "1 connection"),
            (1.0, "addresses", "1 address"),
            (1.0, "port", "1 port"),
            (1.0, "address", "1 address"),
            (0.0, "ports", "0 ports"),
        ] {
            assert_eq!(in_unit(value, unit).replace('\u{a0}', " "), words);
        }
    }
}
